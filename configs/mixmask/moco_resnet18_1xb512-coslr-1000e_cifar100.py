# MoCo on CIFAR-100, the baseline
# Command: python tools/train.py configs/mixmask/moco_resnet18_1xb512-coslr-1000e_cifar100.py
_base_ = [
    '../_base_/datasets/cifar100.py',
    '../_base_/siamese/moco_resnet18.py',
    '../_base_/schedules/sgd_coslr_1000e.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='moco',
    base='moco',
    data='cifar100',
    epochs=1000,
    paper='MixMask (arXiv 2210.11456), supplement Table 1',
    expected='no number printed; supplement Fig. 1: below MixMask',
    cost='not run here; the paper used 4 A100 for ImageNet and names none for this table',
)

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
default_hooks = dict(knn=_base_.knn, **_base_.hooks)
