# Faster R-CNN C4 for a CPU: the network of configs/mixmask/*_resnet18_*_scenes.py, whose res5 is the
# shared head; a map of stride 8. Sizes and schedule are our choice.
_base_ = './faster-rcnn_r50-c4.py'
width = 16
model = dict(
    data_preprocessor=dict(pad_size_divisor=16),
    backbone=dict(
        _delete_=True,
        type='mssl_plugins.SmallImageResNet',
        depth=18,
        pool=False,
        stem_stride=2,
        stem_channels=width,
        base_channels=width,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(2,),
        norm_cfg=dict(type='BN'),
    ),
    rpn_head=dict(
        in_channels=4 * width,
        feat_channels=4 * width,
        anchor_generator=dict(scales=[2, 4, 8], strides=[8]),
    ),
    roi_head=dict(
        shared_head=dict(depth=18, base_channels=width, norm_cfg=dict(type='BN')),
        bbox_roi_extractor=dict(
            roi_layer=dict(output_size=8), out_channels=4 * width, featmap_strides=[8]
        ),
        bbox_head=dict(roi_feat_size=4, in_channels=8 * width),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=400, max_per_img=100),
        rcnn=dict(sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=400, max_per_img=100)),
)

lr, batch_size, iterations = 2e-3, 4, 200
optim_wrapper = dict(
    _delete_=True, type='OptimWrapper', optimizer=dict(type='AdamW', lr=lr, weight_decay=0.05)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=30, end=iterations, T_max=iterations - 30),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=iterations)
auto_scale_lr = dict(base_batch_size=batch_size)
