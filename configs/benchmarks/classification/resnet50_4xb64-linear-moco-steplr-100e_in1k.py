# MoCo's linear probe, pooled last layer, ResNet-50, ImageNet-1K
# Command: python tools/train.py configs/benchmarks/classification/resnet50_4xb64-linear-moco-steplr-100e_in1k.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/linear_moco.py',
    '../../_base_/benchmarks/backbone_resnet50.py',
    '../../_base_/benchmarks/images_224.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='linear',
    base='resnet50',
    data='imagenet',
    epochs=100,
    paper='MixMask (arXiv 2210.11456), supplement Table 2',
    expected='MoCo v2 67.7, MixMask 69.2, Un-Mix + MixMask 69.5 (200 epochs, reported in the '
    "authors' README)",
    cost='4 x A100 40 GB in the paper; not run here',
)

model = dict(
    backbone=dict(_base_.backbone, frozen_stages=4, norm_eval=True),
    head=dict(num_classes=_base_.num_classes, in_channels=_base_.channels),
)
train_dataloader = dict(batch_size=_base_.batch_size // 4)  # a process, 4 of them
