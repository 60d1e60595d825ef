# UperNet on a plain ViT-B/16, 512 x 512: ASL's supplement, section 3.4, which follows MAE's
# setting: AdamW, batch 16, layer decay 0.65, 100 epochs. What it does not print is that of
# mmsegmentation's MAE config: lr 1e-4, weight decay 0.05, drop path 0.1, warm-up 1500 iterations,
# linear decay, blocks 3, 5, 7 and 11. Relative positions start at zero, as MAE's do.
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
    backbone=dict(
        type='mssl_plugins.ViTDet',
        arch='base',
        img_size=224,  # of pre-training
        patch_size=16,
        window_size=0,  # every block is global
        global_blocks=0,
        rel_pos=True,
        map_size=crop_size[0] // 16,
        out_indices=[3, 5, 7, 11],
        drop_path_rate=0.1,
    ),
    neck=dict(type='Feature2Pyramid', embed_dim=768, rescales=[4, 2, 1, 0.5], norm_cfg=norm_cfg),
    decode_head=dict(
        type='UPerHead',
        in_channels=[768] * 4,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=768,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=768,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=150,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(341, 341)),
)

lr, weight_decay, layer_decay, batch_size, epochs, warmup = 1e-4, 0.05, 0.65, 16, 100, 1500
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=weight_decay),
    constructor='mssl_plugins.LayerDecayConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=layer_decay,
        norm_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={key: dict(decay_mult=0.0) for key in ('pos_embed', 'rel_pos_h', 'rel_pos_w')},
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=warmup),
    dict(
        type='PolyLR',
        power=1.0,
        eta_min=0.0,
        by_epoch=True,
        begin=0,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=10)
auto_scale_lr = dict(base_batch_size=batch_size)
