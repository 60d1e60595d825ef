# SimCLR on generated scenes: nothing to download
# Command: python tools/train.py configs/mixmask/simclr_resnet18_1xb64-coslr-8e_scenes.py
_base_ = [
    '../_base_/datasets/scenes.py',
    '../_base_/siamese/simclr_resnet18.py',
    '../_base_/siamese/cpu_resnet18.py',
    '../_base_/schedules/adam_warmup_steplr_1000e.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='simclr',
    base='simclr',
    data='scenes',
    epochs=8,
    paper='SimCLR (arXiv 2002.05709), settings ours',
    expected='docs/evidence.md',
    cost='about 4 minutes on 2 CPU cores',
)

epochs, lr = 8, 0.003
# ours: a narrower head without BatchNorm at its end, T 0.2
model = dict(
    _base_.cpu_model,
    neck=dict(in_channels=128, hid_channels=256, with_last_bn=False),
    head=dict(temperature=0.2),
)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=epochs)
# a mirrored object is another one: no flip; backgrounds and colors say nothing: strong colors;
# wide crops: narrow ones cut the object away
view = dict(
    num=2,
    size=_base_.image_size,
    scale=(0.8, 1.0),
    flip=0.0,
    gray=0.4,
    solarize=dict(p=0.5),
    jitter=dict(brightness=0.6, contrast=0.6, saturation=0.6, hue=0.2, p=0.9),
)
train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=[view]),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    knn=dict(
        _base_.knn,
        k=20,
        interval=4,
        bank=dict(
            _base_.knn.bank,
            batch_size=500,
            num_workers=0,
            persistent_workers=False,
            dataset=dict(_base_.knn.bank.dataset, length=4000),
        ),
        test=dict(_base_.knn.test, batch_size=500, num_workers=0, persistent_workers=False),
    ),
    **_base_.hooks,
)
