# BYOL on small images: MixMask's supplement, Table 1, column SimCLR & BYOL
# (values for CIFAR; Tiny-ImageNet overrides the embedding).
# Not in the table, from the code it builds on: views, bicubic resizing, momentum's cosine.
embed_dim, proj_dim, momentum = 64, 1024, 0.99

mlp = dict(
    type='mmpretrain.NonLinearNeck',  # Linear-BN-ReLU-Linear
    hid_channels=proj_dim,
    out_channels=embed_dim,
    num_layers=2,
    with_bias=True,
    with_last_bn=False,
    with_last_bias=True,
    norm_cfg=dict(type='BN1d'),
)
model = dict(
    type='mssl_plugins.BYOL',
    momentum=momentum,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mmpretrain.ResNet_CIFAR',  # 3 x 3 stem of stride 1, no max-pool
        depth=18,
        zero_init_residual=False,
        norm_cfg=dict(type='BN'),
    ),
    neck=dict(in_channels=512, **mlp),
    head=dict(
        type='mmpretrain.LatentPredictHead',
        loss=dict(type='mmpretrain.CosineSimilarityLoss'),
        predictor=dict(in_channels=embed_dim, with_avg_pool=False, **mlp),
    ),
)

view = dict(
    scale=(0.2, 1.0),
    interpolation='bicubic',
    flip=0.5,
    gray=0.1,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
)

hooks = dict(
    schedule=dict(
        type='mssl_plugins.ScheduleHook',
        schedules=[dict(target='target_net.momentum', start=momentum, end=1.0, curve='cosine')],
    )
)
