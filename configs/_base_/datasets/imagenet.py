# ImageNet-1K, 224 px, one folder a class under data/imagenet/{train,val}.
_base_ = './loaders.py'
image_size, num_classes = 224, 1000
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size, resize=256),
    dict(type='mssl_plugins.PackViews'),
]
train_set = dict(type='mssl_plugins.ImageFolder', data_root='data/imagenet/train')
test_set = dict(type='mssl_plugins.ImageFolder', data_root='data/imagenet/val')

loader = dict(num_workers=12)
test_loader = dict(batch_size=256, **loader)
train_dataloader = dict(dataset=train_set, **loader)
knn = dict(
    interval=10,  # 1.28 million keys: not every epoch
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set), **test_loader),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set), **test_loader),
)
