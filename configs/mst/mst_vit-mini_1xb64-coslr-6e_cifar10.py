# MST on CIFAR-10 at a size for one CPU core
# Command: python tools/train.py configs/mst/mst_vit-mini_1xb64-coslr-6e_cifar10.py
_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/dino/dino_vit-mini.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='mst',
    base='dino',
    data='cifar10',
    epochs=6,
    paper='MST (arXiv 2106.05656), shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

model = dict(
    type='mssl_plugins.MST',
    backbone=dict(mask_token=True),
    neck=dict(
        type='mssl_plugins.PixelDecoder',
        in_channels=_base_.embed_dims,
        patch_size=_base_.patch_size,
        widths=(64, 32),
    ),
    head=dict(use_bn=True),
    strategy='attention_low',
    q=1 / 8,
    p=1.0,
    replacement='mask_token',
    target='image',
    lambda1=1.0,
    lambda2=0.6,
)
sync_bn = 'torch'

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
    logger=dict(interval=20),
    knn=dict(_base_.cpu_knn, interval=3, branch='teacher'),
    **_base_.hooks,
)
