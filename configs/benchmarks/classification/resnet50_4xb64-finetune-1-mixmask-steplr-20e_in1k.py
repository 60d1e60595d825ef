# Fine-tuning, 1 % of the labels, ResNet-50, ImageNet-1K
# Command: python tools/train.py configs/benchmarks/classification/resnet50_4xb64-finetune-1-mixmask-steplr-20e_in1k.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/finetune_mixmask.py',
    '../../_base_/benchmarks/backbone_resnet50.py',
    '../../_base_/benchmarks/images_224.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='finetune-1',
    base='resnet50',
    data='imagenet',
    epochs=20,
    paper='MixMask (arXiv 2210.11456), supplement Table 3',
    expected='no number printed',
    cost='not run here',
)

model = dict(
    backbone=_base_.backbone, head=dict(num_classes=_base_.num_classes, in_channels=_base_.channels)
)
train_dataloader = dict(
    batch_size=_base_.batch_size // 4,  # a process, 4 of them
    dataset=dict(list_file='meta/train_1percent.txt'),
)
