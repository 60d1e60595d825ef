# COCO detection and instance segmentation: Mask R-CNN, R50-C4, 1x schedule
# Command: python tools/train.py configs/benchmarks/detection/mask-rcnn_r50-c4_8xb2-1x_coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/mask-rcnn_r50-c4.py',
    '../../_base_/dense/coco.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='mask-rcnn-c4',
    data='coco',
    epochs=12,
    iterations=90000,
    paper='MixMask (arXiv 2210.11456), supplement section 2',
    expected='no number printed in the supplements',
    cost='8 GPUs, 2 images each; not run here',
)

iterations = 90000
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, milestones=[60000, 80000], gamma=0.1),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=30000)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=10000)
)
