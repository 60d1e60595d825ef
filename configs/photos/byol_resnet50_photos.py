# BYOL on somebody's own images
# Command: python -m mssl_plugins train byol_resnet50_photos --data FOLDER
_base_ = [
    '../_base_/photos/folder.py',
    '../_base_/photos/byol_resnet.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='byol',
    base='byol',
    data='photos',
    epochs=200,
    paper='BYOL (arXiv 2006.07733)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=_base_.views),
            dict(type='mssl_plugins.PackViews'),
        ]
    )
)
default_hooks = _base_.hooks
