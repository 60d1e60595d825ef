# CIFAR-100, 32 px, as torchvision unpacks it into data/cifar100.
_base_ = './loaders.py'
image_size, num_classes = 32, 100
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size),
    dict(type='mssl_plugins.PackViews'),
]
train_set = dict(type='mmpretrain.CIFAR100', data_root='data/cifar100', split='train')
test_set = dict(type='mmpretrain.CIFAR100', data_root='data/cifar100', split='test')

train_dataloader = dict(dataset=train_set)
knn = dict(
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set)),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set)),
)
