# SimCLR at photo size: arXiv 2002.05709, section 2 and appendix A and B.6: LARS 0.3 x batch / 256,
# weight decay 1e-6, crop 0.08-1, color strength 1.  Temperature 0.2 is ours (0.1 in the paper at a
# batch of 4,096, 0.5 best at 256).
temperature, batch_size, epochs, warmup = 0.2, 256, 200, 10

model = dict(
    type='mssl_plugins.SimCLR',
    channels_last=True,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(type='mmpretrain.ResNet', depth=50, norm_cfg=dict(type='BN')),
    neck=dict(
        type='mmpretrain.NonLinearNeck',
        in_channels=2048,
        hid_channels=2048,
        out_channels=128,
        num_layers=2,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),
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
    blur=dict(sigma=(0.1, 2.0), p=0.5),
    jitter=dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, p=0.8),
)
views = [dict(view, num=2, size=224)]
optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='mmpretrain.LARS', lr=0.3, momentum=0.9, weight_decay=1e-6),
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
hooks = dict()
auto_scale_lr = dict(base_batch_size=batch_size)
