# MaskCo on 20 classes of Tiny-ImageNet at a size for 2 CPU cores
# Command: python tools/train.py configs/maskco/maskco_resnet18_1xb32-coslr-4e_tiny20.py
_base_ = [
    '../_base_/datasets/tiny_imagenet_20c.py',
    '../_base_/maskco/maskco_resnet18.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='maskco',
    base='maskco',
    data='tiny_imagenet_20c',
    epochs=4,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement Algorithm 1; sizes ours',
    expected='docs/evidence.md',
    cost='about 4 minutes on 2 CPU cores',
)

epochs = 4
# half the width: a quarter of the arithmetic
model = dict(
    backbone=dict(stem_channels=32, base_channels=32),
    neck=dict(in_channels=256, hidden_channels=64),
    head=dict(in_channels=256, hid_channels=256),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=epochs)
images = range(0, 10000, 2)  # sorted by class
train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=1,
    dataset=dict(
        indices=images,
        pipeline=[
            dict(_base_.boxes, views=[dict(_base_.view, num=2, size=_base_.image_size)]),
            _base_.pack,
        ],
    ),
)
default_hooks = dict(
    knn=dict(
        _base_.knn,
        interval=2,
        k=20,
        bank=dict(
            _base_.knn.bank,
            batch_size=500,
            num_workers=0,
            persistent_workers=False,
            dataset=dict(_base_.knn.bank.dataset, indices=images),
        ),
        test=dict(_base_.knn.test, batch_size=500, num_workers=0, persistent_workers=False),
    )
)
