# CIFAR-10, 32 px, as torchvision unpacks it into data/cifar10.
image_size, num_classes = 32, 10
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size),
    dict(type='mssl_plugins.PackViews'),
]
train_set = dict(type='mmpretrain.CIFAR10', data_root='data/cifar10', split='train')
test_set = dict(type='mmpretrain.CIFAR10', data_root='data/cifar10', split='test')

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
# at CPU size: every 10th image (a packed set may be sorted by class), k-NN in the main process
images, queries = range(0, 50000, 10), range(0, 10000, 10)
cpu_loader = dict(batch_size=500, num_workers=0, persistent_workers=False)
cpu_knn = dict(
    knn,
    k=20,
    bank=dict(
        knn['bank'], dataset=dict(pipeline=test_pipeline, indices=images, **train_set), **cpu_loader
    ),
    test=dict(
        knn['test'], dataset=dict(pipeline=test_pipeline, indices=queries, **test_set), **cpu_loader
    ),
)
