# MaskCo, 224 px.  16 boxes an image and 32 images a process: the supplement, section A.2.  The rest
# of the recipe is MoCo v2's of OpenSelfSup, whose numbers fill the supplement's Table 1.  The layers of
# MPH and head, the distribution of the boxes and the fill are not published: our choice.
embed_dim, temperature, momentum = 128, 0.2, 0.999
lr, weight_decay, batch_size, epochs = 0.03, 1e-4, 256, 200  # batch of all processes

model = dict(
    type='mssl_plugins.MaskCo',
    fill='mean',
    mph_on_key=True,
    intra=False,
    temperature=temperature,
    momentum=momentum,
    shuffle_bn=True,
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
        type='mssl_plugins.MPH', in_channels=2048, kind='transformer', hidden_channels=512, depth=2
    ),
    head=dict(
        type='mssl_plugins.RoIHead',
        in_channels=2048,
        hid_channels=2048,
        out_channels=embed_dim,
        roi_size=3,
    ),
)

view = dict(
    scale=(0.2, 1.0),
    flip=0.5,
    gray=0.2,
    blur=dict(sigma=(0.1, 2.0), p=0.5),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
)
train_pipeline = [
    dict(
        type='mssl_plugins.MaskCoViews',
        views=[dict(num=2, size=224, **view)],
        num_boxes=16,
        area=(0.1, 0.4),
        aspect=(0.5, 2.0),
        stride=32,
        min_cells=2,
    ),
    dict(type='mssl_plugins.PackViews', keys=('masked_box', 'key_boxes')),
]
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay),
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
