# MoCo's linear probe (MixMask, supplement Table 2): pooled last layer, lr 30, crop and flip.
batch_size, epochs, lr, weight_decay = 256, 100, 30, 0
model = dict(
    type='mssl_plugins.ProbeClassifier',
    features='avg',
    head=dict(
        type='mmpretrain.LinearClsHead',
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
    ),
)
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay)
)
param_scheduler = [dict(type='MultiStepLR', milestones=[60, 80], gamma=0.1)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=batch_size)
