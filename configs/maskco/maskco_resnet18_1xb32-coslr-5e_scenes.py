# MaskCo on generated scenes: nothing to download
# Command: python tools/train.py configs/maskco/maskco_resnet18_1xb32-coslr-5e_scenes.py
_base_ = [
    '../_base_/datasets/scenes.py',
    '../_base_/maskco/maskco_resnet18.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='maskco',
    base='maskco',
    data='scenes',
    epochs=5,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement Algorithm 1; sizes ours',
    expected='docs/evidence.md',
    cost='about 10 minutes on 2 CPU cores',
)

epochs = 5
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
        pipeline=[
            # a glyph mirrored may be another glyph: no flip
            dict(
                _base_.boxes,
                views=[dict(_base_.view, num=2, size=_base_.image_size, flip=0.0)],
                stride=4,
            ),
            _base_.pack,
        ]
    ),
)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    knn=dict(
        _base_.knn,
        interval=1,
        k=20,
        bank=dict(
            _base_.knn.bank,
            batch_size=500,
            num_workers=0,
            persistent_workers=False,
            dataset=dict(_base_.knn.bank.dataset, indices=4000),
        ),
        test=dict(_base_.knn.test, batch_size=500, num_workers=0, persistent_workers=False),
    ),
)
