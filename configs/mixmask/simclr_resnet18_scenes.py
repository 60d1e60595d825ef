# SimCLR on embedded scenes: nothing to download
# Paper: SimCLR (arXiv 2002.05709), settings ours
# Expected: docs/evidence.md
# Cost: about 4 minutes on 2 CPU cores
# Command: python tools/train.py configs/mixmask/simclr_resnet18_scenes.py
_base_ = ['../_base_/datasets/scenes.py', '../_base_/siamese/simclr_resnet18.py', '../_base_/runtime.py']
catalogue = dict(method='simclr', base='simclr', data='scenes', epochs=8, expected='docs/evidence.md')

epochs, lr = 8, 0.003
# half the width and a stem of stride 2: about 16 times less arithmetic than ResNet-18
model = dict(
    channels_last=True,
    backbone=dict(type='mssl_plugins.SmallImageResNet', pool=False, stem_stride=2, stem_channels=32, base_channels=32),
    neck=dict(in_channels=256),
    head=dict(temperature=0.2))
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(max_epochs=epochs)
train_dataloader = dict(
    batch_size=64,
    num_workers=1,
    dataset=dict(pipeline=[
        # a glyph mirrored may be another glyph: no flip; its colour says little: more jitter
        dict(type='mssl_plugins.Views', views=[dict(_base_.view, num=2, size=_base_.image_size, scale=(0.4, 1.0), flip=0.)]),
        dict(type='mssl_plugins.PackViews'),
    ]))
default_hooks = dict(
    logger=dict(interval=20),
    checkpoint=dict(interval=1, max_keep_ckpts=2),
    knn=dict(
        _base_.knn,
        k=20,
        bank=dict(_base_.knn.bank, batch_size=500, num_workers=0, persistent_workers=False,
                  dataset=dict(_base_.knn.bank.dataset, indices=4000)),
        test=dict(_base_.knn.test, batch_size=500, num_workers=0, persistent_workers=False)),
    **_base_.hooks)
