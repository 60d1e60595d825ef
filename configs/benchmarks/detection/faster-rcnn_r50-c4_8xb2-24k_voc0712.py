# PASCAL VOC detection: Faster R-CNN, R50-C4, 24k iterations
# Command: python tools/train.py configs/benchmarks/detection/faster-rcnn_r50-c4_8xb2-24k_voc0712.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/faster-rcnn_r50-c4.py',
    '../../_base_/dense/voc0712.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='faster-rcnn-c4',
    data='voc0712',
    epochs=23,
    iterations=24000,
    paper='MaskCo (arXiv 2108.07954), supplement A.3; MixMask (arXiv 2210.11456), '
    'supplement section 2',
    expected="MaskCo's ablation without MPH on COCO 56.2 / 81.4 / 62.6 (AP / AP50 / AP75, "
    "reported by the paper); MoCo v2, 200 epochs 57.0 / 82.4 / 63.6 (MoCo's "
    'repository)',
    cost='8 GPUs, 2 images each; not run here',
)

iterations = 24000
model = dict(roi_head=dict(bbox_head=dict(num_classes=20)))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=False, milestones=[18000, 22000], gamma=0.1),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=6000)
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=6000)
)
