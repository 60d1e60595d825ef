# DINO with DeiT-S (ViT-S/16) on ImageNet, 100 epochs: arXiv 2104.14294, sections 3.2 and
# appendix C, with the values that MST's supplement (arXiv 2106.05656, section 7) gives for it.
# Batch of all processes 1024; lr 5e-4 x batch / 256.
embed_dims, patch_size, prototypes = 384, 16, 65536
batch_size, epochs, warmup = 1024, 100, 10
lr = 5e-4 * batch_size / 256
momentum, weight_decay, final_weight_decay = 0.996, 0.04, 0.4

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
        arch='deit-small',
        img_size=224,
        patch_size=patch_size,
        drop_path_rate=0.1,  # of the student
        # as in DINO: the start, and position embeddings of 96 px crops
        weight_init='dino',
        interpolate_offset=0.1,
        antialias=False,
    ),
    head=dict(
        type='mssl_plugins.DINOHead',
        in_channels=embed_dims,
        out_channels=prototypes,
        hidden_channels=2048,
        bottleneck_channels=256,
        num_layers=3,
        use_bn=False,
        norm_last_layer=True,
    ),
    criterion=dict(
        type='mssl_plugins.DINOLoss', student_temp=0.1, teacher_temp=0.04, center_momentum=0.9
    ),
)

view = dict(
    interpolation='bicubic',
    flip=0.5,
    gray=0.2,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
)
views = [
    dict(view, size=224, scale=(0.4, 1.0), blur=dict(p=1.0, sigma=(0.1, 2.0))),
    dict(
        view,
        size=224,
        scale=(0.4, 1.0),
        blur=dict(p=0.1, sigma=(0.1, 2.0)),
        solarize=dict(p=0.2, threshold=128),
    ),
    dict(view, num=8, size=96, scale=(0.05, 0.4), blur=dict(p=0.5, sigma=(0.1, 2.0))),
]

optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, weight_decay=weight_decay),
    # none on biases and parameters of one dimension
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
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
auto_scale_lr = dict(base_batch_size=batch_size)
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
# of the recipes of 300 epochs: the README of DINO, section "Boosting"
temperature = dict(
    type='mssl_plugins.ScheduleHook',
    schedules=[
        dict(
            target='criterion.teacher_temp',
            start=0.04,
            end=0.07,
            curve='linear',
            length=30,
            per_epoch=True,
            inclusive=True,
        )
    ],
)
