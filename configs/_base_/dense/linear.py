# DINOv2's linear head (arXiv 2304.07193, section 7.4) on a frozen backbone: BatchNorm and a 1 x 1
# convolution on the last map. AdamW, lr 1e-3, weight decay 1e-4, batch 16, 40,000 iterations, linear
# decay after 1,500 of warm-up: the config dinov2_vitb14_voc2012_linear of its released heads, as
# github.com/Jiawei-Yang/Denoising-ViT keeps it (evaluation/configs/vitb_voc2012_linear_config.py).
norm_cfg = dict(type='SyncBN', requires_grad=True)
crop_size = (512, 512)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=crop_size,
    ),
    neck=dict(type='mssl_plugins.BatchNormNeck', norm_cfg=norm_cfg),
    decode_head=dict(
        type='FCNHead',
        in_index=0,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=150,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(341, 341)),
)

lr, weight_decay, batch_size, iterations, warmup = 1e-3, 1e-4, 16, 40000, 1500
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=weight_decay),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=warmup),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=warmup, end=iterations),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=10000)
auto_scale_lr = dict(base_batch_size=batch_size)
