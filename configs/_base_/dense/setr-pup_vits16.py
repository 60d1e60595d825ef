# SETR-PUP (arXiv 2012.15840) on ViT-S/16 at 768 x 768. MST's supplement gives no protocol: this is
# SETR's own in mmsegmentation (SGD 0.01, heads x 10, polynomial decay 0.9, batch 8), our choice.
norm_cfg = dict(type='SyncBN', requires_grad=True)
crop_size = (768, 768)
head = dict(
    type='SETRUPHead',
    in_channels=384,
    channels=256,
    num_classes=19,
    dropout_ratio=0,
    norm_cfg=norm_cfg,
    kernel_size=3,
    align_corners=False,
)
loss = dict(type='CrossEntropyLoss', use_sigmoid=False)
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
        arch='deit-small',
        img_size=224,  # of pre-training
        patch_size=16,
        window_size=0,  # every block is global
        global_blocks=0,
        rel_pos=False,
        out_indices=[4, 6, 9, 11],
        final_norm=True,
    ),
    decode_head=dict(
        head, in_index=3, num_convs=4, up_scale=2, loss_decode=dict(loss, loss_weight=1.0)
    ),
    auxiliary_head=[
        dict(head, in_index=i, num_convs=2, up_scale=4, loss_decode=dict(loss, loss_weight=0.4))
        for i in range(3)
    ],
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(512, 512)),
)

lr, weight_decay, batch_size, iterations = 0.01, 0.0, 8, 80000
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay),
    paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0)}),
)
param_scheduler = [
    dict(type='PolyLR', power=0.9, eta_min=1e-4, by_epoch=False, begin=0, end=iterations)
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=8000)
auto_scale_lr = dict(base_batch_size=batch_size)
