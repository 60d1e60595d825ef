# ViTDet-style Mask R-CNN, ViT-B, on a folder of your own in COCO's layout
# Command: OWN_DATA=FOLDER OWN_CLASSES=cat,dog python tools/train.py
#          configs/benchmarks/detection/vitdet_vit-b16_32xb2-36e_own-coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/vitdet.py',
    '../../_base_/dense/own_coco.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='vitdet',
    data='own, COCO layout',
    epochs=36,
    paper='the detector of vitdet_vit-b16_16xb4-100e_coco, 36 epochs: our choice',
    expected='depends on your images',
    cost='depends on your images',
)

epochs, side = 36, (_base_.image_size, _base_.image_size)
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=len(_base_.classes)),
        mask_head=dict(num_classes=len(_base_.classes)),
    )
)
# a quarter of an epoch, as for COCO, may be less than one iteration of a few hundred images
warm, cosine = _base_.param_scheduler
param_scheduler = [dict(warm, end=1), dict(cosine, T_max=epochs - 1, begin=1, end=epochs)]
train_cfg = dict(max_epochs=epochs, val_interval=4)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=side, ratio_range=(0.1, 2.0), keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_type='absolute',
        crop_size=side,
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2), keep_empty=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=side, keep_ratio=True),
    dict(type='Pad', size=side, pad_val=dict(img=(104, 116, 124))),
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
