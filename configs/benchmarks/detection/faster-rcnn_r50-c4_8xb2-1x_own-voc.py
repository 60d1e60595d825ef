# Faster R-CNN, R50-C4, on a folder of your own in VOC's layout
# Command: OWN_DATA=FOLDER OWN_CLASSES=cat,dog python tools/train.py
#          configs/benchmarks/detection/faster-rcnn_r50-c4_8xb2-1x_own-voc.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/faster-rcnn_r50-c4.py',
    '../../_base_/dense/own_voc.py',
    '../../_base_/dense/schedule_1x.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='faster-rcnn-c4',
    data='own, VOC layout',
    epochs=12,
    paper='the detector of faster-rcnn_r50-c4_8xb2-24k_voc0712, 12 epochs: our choice',
    expected='depends on your images',
    cost='depends on your images',
)

model = dict(roi_head=dict(bbox_head=dict(num_classes=len(_base_.classes))))
