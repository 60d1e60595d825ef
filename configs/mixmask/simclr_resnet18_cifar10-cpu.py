# SimCLR on CIFAR-10 at a size for 2 CPU cores, the baseline
# Paper: MixMask (arXiv 2210.11456), supplement Table 1, shrunk: our choice
# Expected: docs/evidence.md
# Cost: see docs/evidence.md
# Command: python tools/train.py configs/mixmask/simclr_resnet18_cifar10-cpu.py
_base_ = ['../_base_/datasets/cifar10.py', '../_base_/siamese/simclr_resnet18.py', '../_base_/runtime.py']
catalogue = dict(method='simclr', base='simclr', data='cifar10', epochs=8, expected='docs/evidence.md')

epochs, lr = 8, 0.003  # every 10th image: the set may be sorted by class
# a quarter of the width and a stem of stride 2: about 60 times less arithmetic than ResNet-18
model = dict(
    channels_last=True,
    backbone=dict(type='mssl_plugins.SmallImageResNet', pool=False, stem_stride=2, stem_channels=16, base_channels=16),
    neck=dict(in_channels=128))
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=epochs)
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    dataset=dict(indices=range(0, 50000, 10), pipeline=[
        dict(type='mssl_plugins.Views', views=[dict(num=2, size=_base_.image_size, **_base_.view)]),
        dict(type='mssl_plugins.PackViews'),
    ]))
default_hooks = dict(
    knn=dict(
        _base_.knn,
        interval=4,
        k=20,
        bank=dict(_base_.knn.bank, batch_size=500, num_workers=0, persistent_workers=False,
                  dataset=dict(_base_.knn.bank.dataset, indices=range(0, 50000, 10))),
        test=dict(_base_.knn.test, batch_size=500, num_workers=0, persistent_workers=False,
                  dataset=dict(_base_.knn.test.dataset, indices=range(0, 10000, 10)))),
    **_base_.hooks)
