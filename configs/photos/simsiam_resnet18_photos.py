# SimSiam on somebody's own images
# Command: python -m mssl_plugins train simsiam_resnet18_photos --data FOLDER
_base_ = [
    '../_base_/photos/folder.py',
    '../_base_/photos/simsiam_resnet.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='simsiam',
    base='simsiam',
    data='photos',
    epochs=200,
    paper='SimSiam (arXiv 2011.10566)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

model = dict(backbone=dict(depth=18), neck=dict(in_channels=512))
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=_base_.views),
            dict(type='mssl_plugins.PackViews'),
        ]
    )
)
default_hooks = _base_.hooks
