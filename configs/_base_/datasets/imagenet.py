# ImageNet-1K, 224 px, one folder a class under data/imagenet/{train,val}.
image_size, num_classes = 224, 1000
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size, resize=256),
    dict(type='mssl_plugins.PackViews'),
]
train_set = dict(type='mssl_plugins.ImageFolder', data_root='data/imagenet/train')
test_set = dict(type='mssl_plugins.ImageFolder', data_root='data/imagenet/val')

loader = dict(num_workers=12, persistent_workers=True, collate_fn=dict(type='default_collate'))
test_loader = dict(batch_size=256, sampler=dict(type='DefaultSampler', shuffle=False), **loader)
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
    interval=10,  # 1.28 million keys: not every epoch
    k=200,
    temperature=0.1,
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set), **test_loader),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set), **test_loader),
)
