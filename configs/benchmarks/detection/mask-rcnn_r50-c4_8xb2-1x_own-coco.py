# Mask R-CNN, R50-C4, on a folder of your own in COCO's layout
# Command: OWN_DATA=FOLDER OWN_CLASSES=cat,dog python tools/train.py
#          configs/benchmarks/detection/mask-rcnn_r50-c4_8xb2-1x_own-coco.py
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
    paper='the detector of mask-rcnn_r50-c4_8xb2-1x_coco, 12 epochs: our choice',
    expected='depends on your images',
    cost='depends on your images',
)

model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=len(_base_.classes)),
        mask_head=dict(num_classes=len(_base_.classes)),
    )
)
