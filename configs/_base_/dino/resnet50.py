# DINO with ResNet-50 on ImageNet, 100 epochs: the command of DINO's README (SGD, lr 0.03, weight
# decay 1e-4 throughout, global crops 0.14-1, local crops 0.05-0.14), all else its defaults.
# Batch of all processes 512; lr 0.03 x batch / 256.
embed_dims, prototypes = 2048, 65536
batch_size, epochs, warmup = 512, 100, 10
lr = 0.03 * batch_size / 256
momentum, weight_decay = 0.996, 1e-4

model = dict(
    type='mssl_plugins.DINO',
    momentum=momentum,
    num_global=2,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        channels_last=True,
    ),
    backbone=dict(
        type='mmpretrain.ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=False
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
sync_bn = 'torch'

view = dict(
    interpolation='bicubic',
    flip=0.5,
    gray=0.2,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
)
views = [
    dict(view, size=224, scale=(0.14, 1.0), blur=dict(p=1.0, sigma=(0.1, 2.0))),
    dict(
        view,
        size=224,
        scale=(0.14, 1.0),
        blur=dict(p=0.1, sigma=(0.1, 2.0)),
        solarize=dict(p=0.2, threshold=128),
    ),
    dict(view, num=8, size=96, scale=(0.05, 0.14), blur=dict(p=0.5, sigma=(0.1, 2.0))),
]

optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay),
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
        schedules=[dict(target='teacher.momentum', start=momentum, end=1.0, curve='cosine')],
    ),
    last_layer=dict(type='mssl_plugins.FreezeHook', names='head.last_layer', length=1),
    clip=dict(type='mssl_plugins.ClipEachHook', max_norm=3.0),
)
