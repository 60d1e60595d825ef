# Generated scenes, made on the fly: nothing to download.
_base_ = './loaders.py'
image_size, num_classes = 32, 10
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size),
    dict(type='mssl_plugins.PackViews'),
]
train_set = dict(type='mssl_plugins.Scenes', split='train', length=8000, size=image_size)
test_set = dict(type='mssl_plugins.Scenes', split='test', length=2000, size=image_size)

loader = dict(num_workers=2)
test_loader = dict(**loader)
train_dataloader = dict(dataset=train_set, **loader)
knn = dict(
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set), **test_loader),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set), **test_loader),
)
