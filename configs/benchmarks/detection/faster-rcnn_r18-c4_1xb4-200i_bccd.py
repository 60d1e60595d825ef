# BCCD blood cells (364 images): Faster R-CNN C4 with a small ResNet-18
# Command: python tools/dense_data.py bccd data/bccd
#          python tools/train.py configs/benchmarks/detection/faster-rcnn_r18-c4_1xb4-200i_bccd.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/faster-rcnn_r18-c4.py',
    '../../_base_/dense/own_voc.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='faster-rcnn-c4',
    data='bccd',
    epochs=3,
    iterations=200,
    paper='none; the detector of faster-rcnn_r50-c4_8xb2-24k_voc0712, shrunk: our choice',
    expected='docs/evidence.md',
    cost='minutes on 1 CPU core',
)

data_root, classes, scale = 'data/bccd', ['RBC', 'WBC', 'Platelets'], (320, 240)
model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[2, 4, 8, 16])),
    roi_head=dict(bbox_head=dict(num_classes=len(classes))),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='FilterAnnotations', min_gt_bbox_wh=(1.0, 1.0)
    ),  # a box of no size has no finite loss
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
    dataset=dict(own, ann_file='ImageSets/Main/trainval.txt', pipeline=train_pipeline),
)
val_dataloader = dict(
    loader, dataset=dict(own, ann_file='ImageSets/Main/test.txt', pipeline=test_pipeline)
)
test_dataloader = val_dataloader
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False, interval=20),
    checkpoint=dict(by_epoch=False, interval=200),
)
