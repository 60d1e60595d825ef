# MST with ViT-Tiny/4 on CIFAR-10, 200 epochs
# Command: python tools/train.py configs/mst/mst_vit-t4_1xb256-coslr-200e_cifar10.py
_base_ = ['../_base_/datasets/cifar10.py', '../_base_/dino/vit-t.py', '../_base_/runtime.py']
catalogue = dict(
    method='mst',
    base='dino',
    data='cifar10',
    epochs=200,
    paper='MST (arXiv 2106.05656), shrunk: our choice',
    expected='docs/evidence.md',
    cost='one GPU; not run here',
)

model = dict(
    type='mssl_plugins.MST',
    backbone=dict(mask_token=True),
    neck=dict(
        type='mssl_plugins.PixelDecoder',
        in_channels=_base_.embed_dims,
        patch_size=_base_.patch_size,
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
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=_base_.views),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
default_hooks = dict(knn=dict(_base_.knn, interval=10, k=20, branch='teacher'), **_base_.hooks)
