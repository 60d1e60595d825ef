# SimSiam on CIFAR-10 at a size for 2 CPU cores, the baseline
# Command: python tools/train.py configs/mixmask/simsiam_resnet18_1xb64-coslr-8e_cifar10.py
_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/siamese/simsiam_resnet18.py',
    '../_base_/siamese/cpu_resnet18.py',
    '../_base_/schedules/sgd_warmup_coslr_1000e.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='simsiam',
    base='simsiam',
    data='cifar10',
    epochs=8,
    paper='MixMask (arXiv 2210.11456), supplement Table 1, shrunk: our choice',
    expected='docs/evidence.md',
    cost='see docs/evidence.md',
)

epochs, lr = 8, 0.06
model = dict(**_base_.cpu_model)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', T_max=epochs - 1, begin=1, end=epochs, convert_to_iter_based=True
    ),
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
default_hooks = dict(
    knn=dict(_base_.cpu_knn, interval=4), predictor_lr=dict(_base_.hooks.predictor_lr, lr=lr)
)
