# MAE's fine-tuning, all labels, ViT-B/16, ImageNet-1K
# Command: python tools/train.py configs/benchmarks/classification/vit-b16_8xb128-finetune-100-mae-coslr-100e_in1k.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/finetune_mae.py',
    '../../_base_/benchmarks/backbone_vitb16.py',
    '../../_base_/benchmarks/images_224.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='finetune-100',
    base='vitb16',
    data='imagenet',
    epochs=100,
    paper='ASL (CVPR 2024), supplement Table 2',
    expected='not in the supplement',
    cost='not run here',
)

model = dict(
    backbone=dict(_base_.backbone, **_base_.network),
    head=dict(num_classes=_base_.num_classes, in_channels=_base_.channels),
)
train_dataloader = dict(
    batch_size=_base_.batch_size // 8,  # a process, 8 of them
    dataset=dict(pipeline=[_base_.crop, _base_.flip, _base_.randaug, _base_.pack]),
)
