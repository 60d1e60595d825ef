# MAE's linear probe (ASL, supplement Table 1; mask-guided attention, supplement Table 4): LARS,
# BatchNorm without affine before the classifier, crop only.
batch_size, epochs, warmup, base_lr, weight_decay = 16384, 90, 10, 0.1, 0
lr = base_lr * batch_size / 256  # 6.4
model = dict(
    type='mssl_plugins.ProbeClassifier',
    features='auto',
    neck=dict(type='mmpretrain.ClsBatchNormNeck', affine=False),
    head=dict(
        type='mmpretrain.LinearClsHead',
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.01),
    ),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='mmpretrain.LARS', lr=lr, momentum=0.9, weight_decay=weight_decay),
    paramwise_cfg=dict(custom_keys={'bias': dict(lars_exclude=True)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=warmup, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup,
        begin=warmup,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=batch_size)
