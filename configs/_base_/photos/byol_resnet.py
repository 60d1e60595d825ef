# BYOL at photo size: arXiv 2006.07733, section 3.3 and appendix B, J: LARS 0.3 x batch / 256 (300
# epochs), weight decay 1.5e-6, momentum 0.996 -> 1, projector 4096-256, asymmetric views.
batch_size, epochs, warmup, momentum = 256, 200, 10, 0.996

mlp = dict(
    type='mmpretrain.NonLinearNeck',
    hid_channels=4096,
    out_channels=256,
    num_layers=2,
    with_bias=True,
    with_last_bn=False,
    norm_cfg=dict(type='BN1d'),
)
model = dict(
    type='mssl_plugins.BYOL',
    momentum=momentum,
    channels_last=True,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(type='mmpretrain.ResNet', depth=50, norm_cfg=dict(type='BN')),
    neck=dict(in_channels=2048, with_avg_pool=True, **mlp),
    head=dict(
        type='mmpretrain.LatentPredictHead',
        loss=dict(type='mmpretrain.CosineSimilarityLoss'),
        predictor=dict(in_channels=256, with_avg_pool=False, **mlp),
    ),
)

view = dict(
    size=224,
    scale=(0.08, 1.0),
    interpolation='bicubic',
    flip=0.5,
    gray=0.2,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
)
views = [
    dict(view, blur=dict(sigma=(0.1, 2.0), p=1.0)),
    dict(view, blur=dict(sigma=(0.1, 2.0), p=0.1), solarize=dict(p=0.2, threshold=128)),
]
optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='mmpretrain.LARS', lr=0.3, momentum=0.9, weight_decay=1.5e-6),
    paramwise_cfg=dict(
        custom_keys={
            'bn': dict(decay_mult=0.0, lars_exclude=True),
            'bias': dict(decay_mult=0.0, lars_exclude=True),
        }
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=warmup, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup,
        begin=warmup,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
hooks = dict(
    schedule=dict(
        type='mssl_plugins.ScheduleHook',
        schedules=[dict(target='target_net.momentum', start=momentum, end=1.0, curve='cosine')],
    )
)
auto_scale_lr = dict(base_batch_size=batch_size)
