# COCO detection and instance segmentation: ViTDet-style Mask R-CNN, ViT-L, 100 epochs
# Command: python tools/train.py configs/benchmarks/detection/vitdet_vit-l16_16xb4-100e_coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/vitdet.py',
    '../../_base_/dense/coco_lsj.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='vitdet',
    data='coco',
    epochs=100,
    paper='ASL (CVPR 2024), supplement sections 3.3 and 6',
    expected='no number printed in the supplement',
    cost='16 GPUs, 4 images each; not run here',
)

# drop path stays the 0.1 of the supplement
model = dict(backbone=dict(arch='large'), neck=dict(in_channels=1024))
