# SGD, cosine: MoCo on small images (MixMask's supplement, Table 1).
lr, weight_decay, batch_size, epochs = 0.06, 5e-4, 512, 1000

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay)
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
