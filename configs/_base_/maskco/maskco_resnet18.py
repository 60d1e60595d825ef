# MaskCo on small images: a map of 8 x 8 cells from 64 px (stem of stride 2, cells of 8 px), near
# the 7 x 7 of 224 px.  All of it is our choice but the 16 boxes and 32 images a process.
embed_dim, temperature, momentum = 128, 0.2, 0.99
lr, weight_decay, batch_size, epochs = 0.03, 1e-4, 32, 200

model = dict(
    type='mssl_plugins.MaskCo',
    fill='mean',
    mph_on_key=True,
    temperature=temperature,
    momentum=momentum,
    channels_last=True,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mssl_plugins.SmallImageResNet',
        depth=18,
        pool=False,
        stem_stride=2,
        strides=(1, 2, 2, 1),
        zero_init_residual=False,
        norm_cfg=dict(type='BN'),
    ),
    neck=dict(
        type='mssl_plugins.MPH',
        in_channels=512,
        kind='transformer',
        hidden_channels=128,
        depth=2,
        num_heads=4,
    ),
    head=dict(
        type='mssl_plugins.RoIHead', in_channels=512, hid_channels=512, out_channels=embed_dim
    ),
)

view = dict(
    scale=(0.2, 1.0),
    flip=0.5,
    gray=0.2,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
)
boxes = dict(type='mssl_plugins.MaskCoViews', num_boxes=16, stride=8)
pack = dict(type='mssl_plugins.PackViews', keys=('masked_box', 'key_boxes'))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay)
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
