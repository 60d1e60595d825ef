# MST's common linear probe (supplement section 5): class token of the last layer, crop and flip.
# lr 0.00024 is printed; that it is for a batch of 256, as in DINO, and the cosine are our choice.
batch_size, epochs, base_lr, weight_decay = 1024, 100, 0.00024, 0
lr = base_lr * batch_size / 256
lr_sweep = [1, 3, 10, 30, 100, 300, 1000]  # times lr, for frozen features: our choice
model = dict(
    type='mssl_plugins.ProbeClassifier',
    features='auto',
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
