# Embedded scenes, made on the fly: nothing to download.
image_size, num_classes = 32, 10
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size),
    dict(type='mssl_plugins.PackViews'),
]
train_set = dict(type='mssl_plugins.Scenes', split='train', length=8000, size=image_size)
test_set = dict(type='mssl_plugins.Scenes', split='test', length=2000, size=image_size)

loader = dict(num_workers=2, persistent_workers=True, collate_fn=dict(type='default_collate'))
test_loader = dict(batch_size=512, sampler=dict(type='DefaultSampler', shuffle=False), **loader)
train_dataloader = dict(
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=train_set,
    **loader,
)
# k-NN while training: the train set with the test transform is the bank
knn = dict(
    type='mssl_plugins.KNNHook',
    interval=1,
    k=200,
    temperature=0.1,
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set), **test_loader),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set), **test_loader),
)
