"""A config that trains in a second."""

# MoCo's queue and teacher and SimCLR's simplicity are both state that a
# resumed run must carry; the tests choose with `extra`.
TINY = """
default_scope = 'mmpretrain'
catalogue = dict(method='mixmask', base='mocov2', data='folder', epochs=4,
                 expected='nothing')
model = dict(
    type='mssl_plugins.MoCo',
    queue_len=24,
    feat_dim=8,
    momentum=0.9,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor', mean=[120.] * 3, std=[60.] * 3),
    backbone=dict(
        type='mmpretrain.ResNet', depth=18, base_channels=4, stem_channels=4,
        norm_cfg=dict(type='BN')),
    neck=dict(
        type='mmpretrain.MoCoV2Neck', in_channels=32, hid_channels=8,
        out_channels=8, with_avg_pool=True),
    head=dict(
        type='mmpretrain.ContrastiveHead',
        loss=dict(type='mmpretrain.CrossEntropyLoss'), temperature=0.2),
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block',
                grid=4, ratio=0.5))
train_dataloader = dict(
    batch_size=8, num_workers=0, drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(
        type='mmpretrain.CustomDataset', data_prefix={folder!r},
        with_label=False,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mssl_plugins.Views',
                 views=[dict(num=2, size=32, scale=(0.5, 1.))]),
            dict(type='mssl_plugins.PackViews'),
        ]))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=True,
                        convert_to_iter_based=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='mssl_plugins.AtomicCheckpointHook', interval=1,
                    max_keep_ckpts=1),
    seed=dict(type='mssl_plugins.SeedHook'),
    guard=dict(type='mssl_plugins.LossGuard'),
    teacher=dict(type='mssl_plugins.TeacherHook'),
    schedule=dict(type='mssl_plugins.ScheduleHook', schedules=[
        dict(target='encoder_k.momentum', start=0.9, end=1.0)]))
randomness = dict(seed=3)
"""
