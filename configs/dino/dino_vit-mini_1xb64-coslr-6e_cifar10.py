# DINO on CIFAR-10 at a size for one CPU core, the baseline of MST and the segment bias
# Command: python tools/train.py configs/dino/dino_vit-mini_1xb64-coslr-6e_cifar10.py
_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/dino/dino_vit-mini.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='dino',
    base='dino',
    data='cifar10',
    epochs=6,
    paper='DINO (arXiv 2104.14294), shrunk: our choice',
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
