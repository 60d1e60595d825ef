# Faster R-CNN, R18-C4, on a folder of your own in VOC's layout
# Command: OWN_DATA=FOLDER OWN_CLASSES=cat,dog python tools/train.py
#          configs/benchmarks/detection/faster-rcnn_r18-c4_8xb2-1x_own-voc.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = './faster-rcnn_r50-c4_8xb2-1x_own-voc.py'
catalogue = dict(
    method='detection',
    base='faster-rcnn-c4',
    data='own, VOC layout',
    epochs=12,
    paper='the detector of faster-rcnn_r50-c4_8xb2-24k_voc0712 on ResNet-18: our choice',
    expected='depends on your images',
    cost='depends on your images',
)

res4, res5 = 256, 512  # channels of a ResNet-18
model = dict(
    backbone=dict(depth=18),
    rpn_head=dict(in_channels=res4, feat_channels=res4),
    roi_head=dict(
        shared_head=dict(depth=18),
        bbox_roi_extractor=dict(out_channels=res4),
        bbox_head=dict(in_channels=res5),
    ),
)
