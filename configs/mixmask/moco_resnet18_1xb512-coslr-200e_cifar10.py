# MoCo on CIFAR-10, 200 epochs, the baseline
# Command: python tools/train.py configs/mixmask/moco_resnet18_1xb512-coslr-200e_cifar10.py
_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/siamese/moco_resnet18.py',
    '../_base_/schedules/sgd_coslr_1000e.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='moco',
    base='moco',
    data='cifar10',
    epochs=200,
    paper="MixMask (arXiv 2210.11456), supplement Table 1, CIFAR's values with 200 "
    'epochs: our choice',
    expected='docs/evidence.md, GPU size, where it was run',
    cost='not run here',
)

epochs = 200
train_cfg = dict(max_epochs=epochs)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]

train_dataloader = dict(
    batch_size=_base_.batch_size,
    dataset=dict(
        pipeline=[
            dict(
                type='mssl_plugins.Views',
                views=[dict(num=2, size=_base_.image_size, **_base_.view)],
            ),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
default_hooks = dict(knn=dict(_base_.knn, k=20), **_base_.hooks)
