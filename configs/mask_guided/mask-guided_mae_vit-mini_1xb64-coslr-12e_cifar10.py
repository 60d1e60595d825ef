# MAE with mask-guided attention bias on CIFAR-10 at a size for one CPU core
# Command: python tools/train.py configs/mask_guided/mask-guided_mae_vit-mini_1xb64-coslr-12e_cifar10.py
_base_ = [
    '../_base_/mask_guided/images_cifar10.py',
    '../_base_/mae/mae_vit-mini.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='mask-guided',
    base='mae',
    data='cifar10',
    epochs=12,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 2, shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

model = dict(
    type='mssl_plugins.MaskGuidedMAE',
    num_segments=32,
    backbone=dict(mask_bias=dict(positive=True, negative=False, init=0.0)),
)
train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=1,
    dataset=dict(
        indices=_base_.images,
        pipeline=[
            _base_.load,
            dict(type='mssl_plugins.Views', views=_base_.views),
            dict(type='mssl_plugins.PackViews'),
        ],
    ),
)
default_hooks = dict(knn=dict(_base_.segment_knn, interval=6, pool='avg'))
