# MoCo v2 on ImageNet-1K: MixMask's supplement, Table 2.
embed_dim, queue, temperature, momentum = 128, 65536, 0.2, 0.999

model = dict(
    type='mssl_plugins.MoCo',
    queue_len=queue,
    feat_dim=embed_dim,
    momentum=momentum,
    channels_last=True,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mmpretrain.ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=False
    ),
    neck=dict(
        type='mmpretrain.MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=embed_dim
    ),
    head=dict(
        type='mmpretrain.ContrastiveHead',
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
        temperature=temperature,
    ),
)

view = dict(
    scale=(0.2, 1.0),
    flip=0.5,
    gray=0.2,
    blur=dict(sigma=(0.1, 2.0), p=0.5),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
)
hooks = dict()
