# Mask R-CNN on a plain ViT for a CPU: the network of mae_vit-mini_1xb256-coslr-12e_scenes, asl_vit-mini_1xb256-coslr-12e_scenes and
# simclr_vit-mini_1xb32-coslr-8e_scenes, patches of 4 px. Sizes and schedule are our choice.
_base_ = './vitdet.py'
side, channels = 64, 48
model = dict(
    data_preprocessor=dict(
        pad_size_divisor=16,
        batch_augments=[dict(type='BatchFixedSizePad', size=(side, side), pad_mask=True)],
    ),
    backbone=dict(
        arch=dict(
            _delete_=True, embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512
        ),
        img_size=32,
        patch_size=4,
        window_size=8,
        global_blocks=2,
        map_size=side // 4,
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=128, out_channels=channels, scales=(1, 0.5), extra=1),
    rpn_head=dict(
        in_channels=channels,
        feat_channels=channels,
        num_convs=1,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16]),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, featmap_strides=[4, 8]),
        bbox_head=dict(in_channels=channels, conv_out_channels=channels, fc_out_channels=128),
        mask_roi_extractor=dict(
            roi_layer=dict(output_size=7), out_channels=channels, featmap_strides=[4, 8]
        ),
        mask_head=dict(num_convs=2, in_channels=channels, conv_out_channels=channels),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=400, max_per_img=100),
        rcnn=dict(sampler=dict(num=32), mask_size=14),
    ),
    test_cfg=dict(rpn=dict(nms_pre=400, max_per_img=100)),
)

lr, batch_size, iterations = 1e-3, 4, 200
optim_wrapper = dict(
    optimizer=dict(lr=lr, weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=0.8)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=iterations, T_max=iterations - 30),
]
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations
)
auto_scale_lr = dict(base_batch_size=batch_size)
