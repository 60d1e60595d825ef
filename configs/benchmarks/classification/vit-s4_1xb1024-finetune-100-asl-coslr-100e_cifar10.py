# MAE's fine-tuning, all labels, ViT-S/4, CIFAR-10
# Settings: those of Tables 1 and 2 and a crop with 4 px of padding (our choice)
# Command: python tools/train.py configs/benchmarks/classification/vit-s4_1xb1024-finetune-100-asl-coslr-100e_cifar10.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/finetune_mae.py',
    '../../_base_/benchmarks/backbone_vits4.py',
    '../../_base_/benchmarks/images_32.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='finetune-100',
    base='vits4',
    data='cifar10',
    epochs=100,
    paper='ASL (CVPR 2024), supplement section 4, which refers to RandSAC (arXiv 2203.12054)',
    expected='not in the supplement',
    cost='not run here',
)

model = dict(
    backbone=dict(_base_.backbone, **_base_.network),
    head=dict(num_classes=_base_.num_classes, in_channels=_base_.channels),
)
train_dataloader = dict(
    batch_size=_base_.batch_size,
    dataset=dict(pipeline=[_base_.crop, _base_.flip, _base_.randaug, _base_.pack]),
)
