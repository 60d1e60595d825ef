# MoCo on small images: MixMask's supplement, Table 1, column MoCo.
# Not in the table, from the code it builds on: linear head, SplitBN, views with torchvision's default
# crop of 0.08-1.  That code's default loss is symmetric (both views are queries), with the
# asymmetric one beside it; ours is asymmetric, as in MoCo.
embed_dim, queue, temperature, momentum = 128, 4096, 0.10, 0.99

model = dict(
    type='mssl_plugins.MoCo',
    queue_len=queue,
    feat_dim=embed_dim,
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
        norm_cfg=dict(type='mssl_plugins.SplitBN', num_splits=8),
    ),
    neck=dict(
        type='mmpretrain.LinearNeck',
        in_channels=512,
        out_channels=embed_dim,
        gap_dim=2,
        norm_cfg=None,
    ),
    head=dict(
        type='mmpretrain.ContrastiveHead',
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
        temperature=temperature,
    ),
)

view = dict(
    scale=(0.08, 1.0),
    flip=0.5,
    gray=0.2,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
)

hooks = dict()
