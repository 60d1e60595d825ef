# Tiny-ImageNet, 64 px, in its own layout under data/tiny-imagenet-200.
_base_ = './loaders.py'
image_size, num_classes = 64, 200
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size),
    dict(type='mssl_plugins.PackViews'),
]
train_set = dict(
    type='mssl_plugins.TinyImageNet', data_root='data/tiny-imagenet-200', split='train'
)
test_set = dict(type='mssl_plugins.TinyImageNet', data_root='data/tiny-imagenet-200', split='val')

train_dataloader = dict(dataset=train_set)
knn = dict(
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set)),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set)),
)
