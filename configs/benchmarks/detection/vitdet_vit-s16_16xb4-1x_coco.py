# COCO detection and instance segmentation: Mask R-CNN on ViT-S, 12 epochs
# Command: python tools/train.py configs/benchmarks/detection/vitdet_vit-s16_16xb4-1x_coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT default_hooks.backbone.branch=teacher
_base_ = [
    '../../_base_/dense/vitdet.py',
    '../../_base_/dense/coco_lsj.py',
    '../../_base_/dense/runtime_mmdet.py',
]
catalogue = dict(
    method='detection',
    base='vitdet',
    data='coco',
    epochs=12,
    paper='MST (arXiv 2106.05656) reports COCO without a protocol in its supplement: this '
    "one is ours, ViTDet's model at ViT-S and the settings of "
    'vitdet_vit-b16_16xb4-100e_coco for 12 epochs',
    expected='AP 42.7 (reported in the abstract of MST, by another protocol)',
    cost='16 GPUs, 4 images each; not run here',
)

epochs = 12
model = dict(backbone=dict(arch='deit-small'), neck=dict(in_channels=384))
warm, cosine = _base_.param_scheduler
param_scheduler = [warm, dict(cosine, T_max=epochs - _base_.warmup, end=epochs)]
train_cfg = dict(max_epochs=epochs, val_interval=4)
