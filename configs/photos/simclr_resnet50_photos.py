# SimCLR on somebody's own images
# Command: python -m mssl_plugins train simclr_resnet50_photos --data FOLDER
_base_ = [
    '../_base_/photos/folder.py',
    '../_base_/photos/simclr_resnet.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='simclr',
    base='simclr',
    data='photos',
    epochs=200,
    paper='SimCLR (arXiv 2002.05709)',
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
