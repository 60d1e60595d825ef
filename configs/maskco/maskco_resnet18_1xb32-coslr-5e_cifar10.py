# MaskCo on CIFAR-10 at a size for 2 CPU cores
# Command: python tools/train.py configs/maskco/maskco_resnet18_1xb32-coslr-5e_cifar10.py
_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/maskco/maskco_resnet18.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='maskco',
    base='maskco',
    data='cifar10',
    epochs=5,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement Algorithm 1; sizes ours',
    expected='docs/evidence.md',
    cost='about 4 minutes on 2 CPU cores',
)

epochs = 5
# cells of 4 px: a map of 8 x 8 from 32 px
# half the width: a quarter of the arithmetic
model = dict(
    backbone=dict(stem_channels=32, base_channels=32, stem_stride=1),
    neck=dict(in_channels=256, hidden_channels=64),
    head=dict(in_channels=256, hid_channels=256),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=epochs)
train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=1,
    dataset=dict(
        indices=_base_.images,
        pipeline=[
            dict(_base_.boxes, views=[dict(_base_.view, num=2, size=_base_.image_size)], stride=4),
            _base_.pack,
        ],
    ),
)
default_hooks = dict(knn=dict(_base_.cpu_knn, interval=5))
