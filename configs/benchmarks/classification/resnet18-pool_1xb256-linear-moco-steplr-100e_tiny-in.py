# MoCo's linear probe, pooled last layer, ResNet-18, 3 x 3 stem and max-pool, Tiny-ImageNet: for SimCLR and BYOL
# Command: python tools/train.py configs/benchmarks/classification/resnet18-pool_1xb256-linear-moco-steplr-100e_tiny-in.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/linear_moco.py',
    '../../_base_/benchmarks/backbone_resnet18-pool.py',
    '../../_base_/benchmarks/images_64.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='linear',
    base='resnet18',
    data='tiny_imagenet',
    epochs=100,
    paper='MixMask (arXiv 2210.11456), supplement Tables 1 and 2',
    expected='no number printed',
    cost='not run here',
)

model = dict(
    backbone=dict(_base_.backbone, frozen_stages=4, norm_eval=True),
    head=dict(num_classes=_base_.num_classes, in_channels=_base_.channels),
)
train_dataloader = dict(batch_size=_base_.batch_size)
