# ImageNet-100, 224 px: data/imagenet/imagenet100.txt lists the folders of 100 classes, one a line.
# The paper does not say which (our choice: CMC's).
_base_ = './loaders.py'
image_size, num_classes = 224, 100
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size, resize=256),
    dict(type='mssl_plugins.PackViews'),
]
classes = dict(type='mssl_plugins.ImageFolder', classes='data/imagenet/imagenet100.txt')
train_set = dict(data_root='data/imagenet/train', **classes)
test_set = dict(data_root='data/imagenet/val', **classes)

loader = dict(num_workers=12)
test_loader = dict(batch_size=256, **loader)
train_dataloader = dict(dataset=train_set, **loader)
knn = dict(
    interval=10,
    k=[10, 20, 100, 200],
    temperature=0.07,
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set), **test_loader),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set), **test_loader),
)
