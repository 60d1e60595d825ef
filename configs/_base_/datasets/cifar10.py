# CIFAR-10, 32 px, as torchvision unpacks it into data/cifar10.
_base_ = './loaders.py'
image_size, num_classes = 32, 10
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size),
    dict(type='mssl_plugins.PackViews'),
]
train_set = dict(type='mmpretrain.CIFAR10', data_root='data/cifar10', split='train')
test_set = dict(type='mmpretrain.CIFAR10', data_root='data/cifar10', split='test')

train_dataloader = dict(dataset=train_set)
knn = dict(
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set)),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set)),
)
# at CPU size: every 10th image (a packed set may be sorted by class), k-NN in the main process
images, queries = range(0, 50000, 10), range(0, 10000, 10)
cpu_loader = dict(batch_size=500, num_workers=0, persistent_workers=False)
cpu_knn = dict(
    _base_.knn,
    k=20,
    bank=dict(
        _base_.knn.bank,
        dataset=dict(pipeline=test_pipeline, indices=images, **train_set),
        **cpu_loader,
    ),
    test=dict(
        _base_.knn.test,
        dataset=dict(pipeline=test_pipeline, indices=queries, **test_set),
        **cpu_loader,
    ),
)
