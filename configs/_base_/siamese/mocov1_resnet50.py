# MoCo v1 on ImageNet (arXiv 1911.05722): linear head, T 0.07, lr steps, its own views.
embed_dim, queue, temperature, momentum = 128, 65536, 0.07, 0.999
lr, weight_decay, batch_size, epochs = 0.03, 1e-4, 256, 200  # batch of all processes

model = dict(
    type='mssl_plugins.MoCo',
    queue_len=queue,
    feat_dim=embed_dim,
    momentum=momentum,
    channels_last=True,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375]),
    backbone=dict(type='mmpretrain.ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=False),
    neck=dict(type='mmpretrain.LinearNeck', in_channels=2048, out_channels=embed_dim, gap_dim=2,
              norm_cfg=None),
    head=dict(
        type='mmpretrain.ContrastiveHead',
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
        temperature=temperature))

view = dict(
    scale=(0.2, 1.0), flip=0.5, grey=0.2,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.4, p=1.0))
param_scheduler = [dict(type='MultiStepLR', milestones=[120, 160], gamma=0.1)]
optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
hooks = dict()
