# Generated scenes in VOC's layout: Faster R-CNN C4 with a small ResNet-18
# Command: python tools/dense_data.py voc data/scenes-voc
#          python tools/train.py configs/benchmarks/detection/faster-rcnn_r18-c4_1xb4-200i_scenes-voc.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/faster-rcnn_r18-c4.py',
    '../../_base_/dense/own_voc.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='faster-rcnn-c4',
    data='scenes',
    epochs=2,
    iterations=200,
    paper='none; the detector of faster-rcnn_r50-c4_8xb2-24k_voc0712, shrunk: our choice',
    expected='docs/evidence.md',
    cost='minutes on 1 CPU core',
)

data_root = 'data/scenes-voc'
classes = ['airplane', 'anchor', 'umbrella', 'telephone']
model = dict(roi_head=dict(bbox_head=dict(num_classes=len(classes))))
scale = (64, 64)
train_pipeline = [  # a glyph mirrored may be another glyph: no flip
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
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
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False, interval=20),
    checkpoint=dict(by_epoch=False, interval=200),
)
