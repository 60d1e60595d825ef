# Mask R-CNN, R50-C4, on a folder of your own in COCO's layout
# Command: OWN_DATA=FOLDER OWN_CLASSES=cat,dog python tools/train.py
#          configs/benchmarks/detection/mask-rcnn_r50-c4_8xb2-1x_own-coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/mask-rcnn_r50-c4.py',
    '../../_base_/dense/own_coco.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='mask-rcnn-c4',
    data='own, COCO layout',
    epochs=12,
    paper='the detector of mask-rcnn_r50-c4_8xb2-1x_coco, 12 epochs: our choice',
    expected='depends on your images',
    cost='depends on your images',
)

epochs = 12  # --auto-scale-lr adapts lr to fewer GPUs
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=len(_base_.classes)),
        mask_head=dict(num_classes=len(_base_.classes)),
    )
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=True, milestones=[8, 11], gamma=0.1),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
