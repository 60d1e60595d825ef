# SGD, steps: MoCo v1 on ImageNet (arXiv 1911.05722, section 4).
lr, weight_decay, batch_size, epochs = 0.03, 1e-4, 256, 200  # batch of all processes

optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay),
)
param_scheduler = [dict(type='MultiStepLR', milestones=[120, 160], gamma=0.1)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
