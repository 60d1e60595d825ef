# SGD, cosine: MoCo v2 on ImageNet (MixMask's supplement, Table 2).
# The table prints weight decay 0; the authors' code and MoCo use 1e-4, which we ship.
lr, weight_decay, batch_size, epochs = 0.03, 1e-4, 256, 200  # batch of all processes

optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
