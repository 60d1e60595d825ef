# Generated scenes with label maps: DINOv2's linear head on a frozen small ViT
# Command: python tools/dense_data.py seg data/scenes-seg
#          python tools/train.py configs/benchmarks/segmentation/linear_vit-mini_1xb4-200i_scenes-seg.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/linear.py',
    '../../_base_/dense/scenes_seg.py',
    '../../_base_/dense/runtime_mmseg_iters.py',
]
catalogue = dict(
    method='segmentation',
    base='linear',
    data='scenes',
    epochs=2,
    iterations=200,
    paper='DINOv2 (arXiv 2304.07193), section 7.4, shrunk: our choice',
    expected='not measured yet',
    cost='minutes on 1 CPU core',
)

model = dict(
    data_preprocessor=dict(size=_base_.scale),
    backbone=dict(  # of mae_vit-mini_1xb256-coslr-12e_scenes
        type='mssl_plugins.ViT',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=32,
        patch_size=4,
        out_type='featmap',
        out_indices=-1,
        frozen_stages=4,
    ),
    neck=dict(channels=128),
    decode_head=dict(
        in_channels=128, channels=128, num_classes=len(_base_.classes), loss_decode=_base_.weights
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)
iterations = 200
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=30),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=30, end=iterations),
]
train_cfg = dict(max_iters=iterations, val_interval=iterations)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))
