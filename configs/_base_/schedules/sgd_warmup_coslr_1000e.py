# SGD, warm-up, cosine: SimSiam on small images (MixMask's supplement, Table 1).
# The table's lr 0.03 is for a batch of 256 (linear rule of SimSiam's code).
base_lr, warmup = 0.03, 10
weight_decay, batch_size, epochs = 5e-4, 512, 1000
lr = base_lr * batch_size / 256

hooks = dict(
    predictor_lr=dict(type='mmpretrain.SimSiamHook', fix_pred_lr=True, lr=lr, adjust_by_epoch=False)
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay),
    paramwise_cfg=dict(custom_keys={'predictor': dict(fix_lr=True)}),
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
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
