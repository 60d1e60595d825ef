# COCO detection and instance segmentation: ViTDet-style Mask R-CNN, ViT-B, 100 epochs
# Command: python tools/train.py configs/benchmarks/detection/vitdet_vit-b16_16xb4-100e_coco.py
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
    paper='ASL (CVPR 2024), supplement section 3.3',
    expected='OpenImages pre-training, 800 epochs: 51.7 box AP, MAE 49.9 (reported by the '
    'paper, section 8)',
    cost='16 GPUs, 4 images each; not run here',
)
