# SimSiam on small images: MixMask's supplement, Table 1, column SimSiam.
# The embedding of 128 is the table's; the code it builds on has 2048.  Hidden
# widths (projector 2048, predictor 512) are that code's.
embed_dim = 128

model = dict(
    type='mssl_plugins.SimSiam',
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
    neck=dict(
        type='mmpretrain.NonLinearNeck',
        in_channels=512,
        hid_channels=2048,
        out_channels=embed_dim,
        num_layers=2,
        with_last_bn_affine=False,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(
        type='mmpretrain.LatentPredictHead',
        loss=dict(type='mmpretrain.CosineSimilarityLoss'),
        predictor=dict(
            type='mmpretrain.NonLinearNeck',
            in_channels=embed_dim,
            hid_channels=512,
            out_channels=embed_dim,
            with_avg_pool=False,
            with_last_bn=False,
            with_last_bias=True,
            norm_cfg=dict(type='BN1d'),
        ),
    ),
)

view = dict(
    scale=(0.2, 1.0),
    flip=0.5,
    gray=0.2,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
)
