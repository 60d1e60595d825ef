# Mask R-CNN, R18-C4, on a folder of your own in COCO's layout
# Command: OWN_DATA=FOLDER OWN_CLASSES=cat,dog python tools/train.py
#          configs/benchmarks/detection/mask-rcnn_r18-c4_8xb2-1x_own-coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/mask-rcnn_r50-c4.py',
    '../../_base_/dense/own_coco.py',
    '../../_base_/dense/schedule_1x.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='mask-rcnn-c4',
    data='own, COCO layout',
    epochs=12,
    paper='the detector of mask-rcnn_r50-c4_8xb2-1x_coco on ResNet-18, 12 epochs: our choice',
    expected='depends on your images',
    cost='depends on your images',
)

res4, res5, num_classes = 256, 512, len(_base_.classes)  # channels of a ResNet-18
model = dict(
    backbone=dict(depth=18),
    rpn_head=dict(in_channels=res4, feat_channels=res4),
    roi_head=dict(
        shared_head=dict(depth=18),
        bbox_roi_extractor=dict(out_channels=res4),
        bbox_head=dict(in_channels=res5, num_classes=num_classes),
        mask_head=dict(in_channels=res5, num_classes=num_classes),
    ),
)
