# ADE20K semantic segmentation: UperNet, ViT-B, 512 x 512, 100 epochs
# Command: python tools/train.py configs/benchmarks/segmentation/upernet_vit-b16_8xb2-100e_ade20k.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/upernet_vit.py',
    '../../_base_/dense/ade20k.py',
    '../../_base_/dense/runtime_mmseg.py',
]
catalogue = dict(
    method='segmentation',
    base='upernet',
    data='ade20k',
    epochs=100,
    paper='ASL (CVPR 2024), supplement section 3.4',
    expected='OpenImages pre-training, 800 epochs: 49.7 mIoU, MAE 47.8 (reported by the '
    'paper, section 8)',
    cost='8 GPUs, 2 images each; not run here',
)
