# Generated scenes in COCO's layout: ViTDet-style Mask R-CNN with a small ViT
# Command: python tools/dense_data.py coco data/scenes-coco
#          python tools/train.py configs/benchmarks/detection/vitdet_vit-mini_1xb4-200i_scenes-coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/vitdet_small.py',
    '../../_base_/dense/own_coco.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='vitdet',
    data='scenes',
    epochs=2,
    iterations=200,
    paper='none; the detector of vitdet_vit-b16_16xb4-100e_coco, shrunk: our choice',
    expected='docs/evidence.md',
    cost='minutes on 1 CPU core',
)

data_root = 'data/scenes-coco'
classes = ['airplane', 'anchor', 'umbrella', 'telephone']
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=len(classes)), mask_head=dict(num_classes=len(classes))
    )
)
scale = (_base_.side, _base_.side)
train_pipeline = [  # a glyph mirrored may be another glyph: no flip
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    *_base_.test_pipeline[2:],
]
own = dict(data_root=data_root, metainfo=dict(classes=classes))
loader = dict(num_workers=1)
train_dataloader = dict(
    loader,
    batch_size=4,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(own, pipeline=train_pipeline),
)
val_dataloader = dict(loader, dataset=dict(own, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=f'{data_root}/annotations/val.json')
test_evaluator = val_evaluator
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False, interval=20),
    checkpoint=dict(by_epoch=False, interval=200),
)
