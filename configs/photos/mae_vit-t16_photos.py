# MAE on somebody's own images
# Command: python -m mssl_plugins train mae_vit-t16_photos --data FOLDER
_base_ = [
    '../_base_/photos/folder.py',
    '../_base_/photos/mae_vit.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='mae',
    base='mae',
    data='photos',
    epochs=200,
    paper='MAE (arXiv 2111.06377)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

epochs, warmup = 200, 10
model = _base_.vit_tiny
warm, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm, end=warmup),
    dict(cosine, T_max=epochs - warmup, begin=warmup, end=epochs),
]
train_cfg = dict(max_epochs=epochs)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=[_base_.view]),
            dict(type='mssl_plugins.PackViews'),
        ]
    )
)
