# DINO on somebody's own images
# Command: python -m mssl_plugins train dino_vit-t16_photos --data FOLDER
_base_ = [
    '../_base_/photos/folder.py',
    '../_base_/photos/dino_vit.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='dino',
    base='dino',
    data='photos',
    epochs=100,
    paper='DINO (arXiv 2104.14294)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

model = _base_.vit_tiny
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=_base_.views),
            dict(type='mssl_plugins.PackViews'),
        ]
    )
)
default_hooks = _base_.hooks
