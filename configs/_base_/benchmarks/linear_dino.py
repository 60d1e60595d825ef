# DINO's linear probe (mask-guided attention, supplement Table 3; MST, supplement section 5): class
# tokens of the last 4 blocks, crop and flip. A network without class token gives its average.
batch_size, epochs, base_lr, weight_decay = 256, 100, 1e-3, 0
lr = base_lr * batch_size / 256
lr_sweep = [1, 3, 10, 30, 100, 300]  # times lr, for frozen features: our choice
model = dict(
    type='mssl_plugins.ProbeClassifier',
    features='blocks4',
    head=dict(
        type='mmpretrain.LinearClsHead',
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
    ),
)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay)
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=batch_size)
