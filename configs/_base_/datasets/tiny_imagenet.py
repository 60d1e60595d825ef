# Tiny-ImageNet, 64 px, in its own layout under data/tiny-imagenet-200.
image_size, num_classes = 64, 200
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size),
    dict(type='mssl_plugins.PackViews'),
]
train_set = dict(
    type='mssl_plugins.TinyImageNet', data_root='data/tiny-imagenet-200', split='train'
)
test_set = dict(type='mssl_plugins.TinyImageNet', data_root='data/tiny-imagenet-200', split='val')

loader = dict(num_workers=4, persistent_workers=True, collate_fn=dict(type='default_collate'))
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
