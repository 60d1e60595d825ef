# SimSiam at photo size: arXiv 2011.10566, section 3 and appendix: SGD 0.05 x batch / 256, weight
# decay 1e-4, projector of 3 layers of 2,048, predictor 2048-512-2048 at a constant rate.
lr, batch_size, epochs = 0.05, 256, 200

model = dict(
    type='mssl_plugins.SimSiam',
    channels_last=True,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mmpretrain.ResNet', depth=50, norm_cfg=dict(type='BN'), zero_init_residual=True
    ),
    neck=dict(
        type='mmpretrain.NonLinearNeck',
        in_channels=2048,
        hid_channels=2048,
        out_channels=2048,
        num_layers=3,
        with_last_bn_affine=False,
        with_avg_pool=True,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(
        type='mmpretrain.LatentPredictHead',
        loss=dict(type='mmpretrain.CosineSimilarityLoss'),
        predictor=dict(
            type='mmpretrain.NonLinearNeck',
            in_channels=2048,
            hid_channels=512,
            out_channels=2048,
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
    blur=dict(sigma=(0.1, 2.0), p=0.5),
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
)
views = [dict(view, num=2, size=224)]
optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'predictor': dict(fix_lr=True)}),
)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
hooks = dict(
    simsiam=dict(
        type='mmpretrain.SimSiamHook',
        priority='HIGH',
        fix_pred_lr=True,
        lr=lr,
        adjust_by_epoch=False,
    )
)
auto_scale_lr = dict(base_batch_size=batch_size)
