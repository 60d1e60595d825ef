# DINO with ViT-Tiny/4 on CIFAR-10, 200 epochs
# Command: python tools/train.py configs/dino/dino_vit-t4_1xb256-coslr-200e_cifar10.py
_base_ = ['../_base_/datasets/cifar10.py', '../_base_/dino/vit-t.py', '../_base_/runtime.py']
catalogue = dict(
    method='dino',
    base='dino',
    data='cifar10',
    epochs=200,
    paper='DINO (arXiv 2104.14294), shrunk: our choice',
    expected='docs/evidence.md',
    cost='one GPU; not run here',
)

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
