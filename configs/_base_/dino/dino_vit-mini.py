# DINO at 32 px for one CPU core, 6 epochs: a ViT of 3 blocks, patches of 4 px, 2 x 32 and 2 x 16 px
# crops.  The recipe is dino/deit-s.py's; what is smaller, shorter or faster is our choice.
embed_dims, patch_size, prototypes = 64, 4, 512
batch_size, epochs, warmup = 64, 6, 1
lr, momentum, weight_decay, final_weight_decay = 1e-3, 0.99, 0.04, 0.1

model = dict(
    type='mssl_plugins.DINO',
    momentum=momentum,
    num_global=2,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mssl_plugins.ViT',
        arch=dict(embed_dims=embed_dims, num_layers=3, num_heads=2, feedforward_channels=128),
        img_size=32,
        patch_size=patch_size,
        drop_path_rate=0.0,
        weight_init='dino',
        interpolate_offset=0.1,
        antialias=False,
    ),
    head=dict(
        type='mssl_plugins.DINOHead',
        in_channels=embed_dims,
        out_channels=prototypes,
        hidden_channels=256,
        bottleneck_channels=64,
        num_layers=3,
        use_bn=False,
        norm_last_layer=True,
    ),
    criterion=dict(
        type='mssl_plugins.DINOLoss', student_temp=0.1, teacher_temp=0.04, center_momentum=0.9
    ),
)

view = dict(
    interpolation='bilinear',
    flip=0.5,
    gray=0.2,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
)
views = [
    dict(view, size=32, scale=(0.4, 1.0)),
    dict(view, size=32, scale=(0.4, 1.0), solarize=dict(p=0.2, threshold=128)),
    dict(view, num=2, size=16, scale=(0.05, 0.4)),
]

# AdamW changes a and b by the learning rate a step, here 468 steps instead of 74,100: ten times the
# rate of the others
bias_rate = {'mask_bias': dict(lr_mult=10.0, decay_mult=0.0)}
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, weight_decay=weight_decay),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0, custom_keys=bias_rate
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, end=warmup, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup,
        begin=warmup,
        end=epochs,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
hooks = dict(
    schedule=dict(
        type='mssl_plugins.ScheduleHook',
        schedules=[
            dict(target='teacher.momentum', start=momentum, end=1.0, curve='cosine'),
            dict(
                target='optimizer.weight_decay',
                start=weight_decay,
                end=final_weight_decay,
                curve='cosine',
            ),
        ],
    ),
    last_layer=dict(type='mssl_plugins.FreezeHook', names='head.last_layer', length=1),
    clip=dict(type='mssl_plugins.ClipEachHook', max_norm=3.0),
)
