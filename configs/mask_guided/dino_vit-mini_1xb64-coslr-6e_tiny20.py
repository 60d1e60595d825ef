# DINO on Tiny-ImageNet (20 classes) at a size for one CPU core, the baseline
# Command: python tools/train.py configs/mask_guided/dino_vit-mini_1xb64-coslr-6e_tiny20.py
_base_ = [
    '../_base_/mask_guided/tiny20.py',
    '../_base_/dino/dino_vit-mini.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='dino',
    base='dino',
    data='tiny_imagenet_20c',
    epochs=6,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 1, shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=1,
    dataset=dict(
        indices=_base_.images,
        pipeline=[
            dict(type='mssl_plugins.Views', views=_base_.views),
            dict(type='mssl_plugins.PackViews'),
        ],
    ),
)
default_hooks = dict(
    knn=dict(_base_.cpu_knn, interval=3, branch='teacher'),
    **_base_.hooks,
)
