# Fine-tuning, 10 % of the labels, ViT-B/16, ImageNet-1K
# Command: python tools/train.py configs/benchmarks/classification/vit-b16_8xb64-finetune-10-semivit-coslr-100e_in1k.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/finetune_semivit-10.py',
    '../../_base_/benchmarks/backbone_vitb16.py',
    '../../_base_/benchmarks/images_224.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='finetune-10',
    base='vitb16',
    data='imagenet',
    epochs=100,
    paper='mask-guided attention (BMVC 2024), supplement A.1; Semi-ViT (NeurIPS 2022)',
    expected='not in the supplement',
    cost='not run here',
)

model = dict(
    backbone=dict(_base_.backbone, **_base_.network),
    head=dict(num_classes=_base_.num_classes, in_channels=_base_.channels),
)
train_dataloader = dict(
    batch_size=_base_.batch_size // 8,  # a process, 8 of them
    dataset=dict(
        list_file='meta/train_10percent.txt',
        pipeline=[_base_.crop, _base_.flip, _base_.randaug, _base_.erasing, _base_.pack],
    ),
)
