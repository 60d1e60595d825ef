# BYOL on CIFAR-10 at a size for 2 CPU cores, the baseline
# Command: python tools/train.py configs/mixmask/byol_resnet18_1xb64-coslr-8e_cifar10.py
_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/siamese/byol_resnet18.py',
    '../_base_/siamese/cpu_resnet18.py',
    '../_base_/schedules/adam_warmup_steplr_1000e.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='byol',
    base='byol',
    data='cifar10',
    epochs=8,
    paper='MixMask (arXiv 2210.11456), supplement Table 1, shrunk: our choice',
    expected='docs/evidence.md',
    cost='see docs/evidence.md',
)

epochs, lr = 8, 0.003
model = dict(**_base_.cpu_model)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=epochs)
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    dataset=dict(
        indices=_base_.images,
        pipeline=[
            dict(
                type='mssl_plugins.Views',
                views=[dict(num=2, size=_base_.image_size, **_base_.view)],
            ),
            dict(type='mssl_plugins.PackViews'),
        ],
    ),
)
default_hooks = dict(knn=dict(_base_.cpu_knn, interval=4), **_base_.hooks)
