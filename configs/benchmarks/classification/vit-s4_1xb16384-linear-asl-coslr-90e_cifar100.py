# MAE's linear probe, ViT-S/4, CIFAR-100
# Settings: Table 1's, which crops and does not flip; the crop has 4 px of padding (our choice)
# Command: python tools/train.py configs/benchmarks/classification/vit-s4_1xb16384-linear-asl-coslr-90e_cifar100.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/linear_mae.py',
    '../../_base_/benchmarks/backbone_vits4.py',
    '../../_base_/benchmarks/images_32.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='linear',
    base='vits4',
    data='cifar100',
    epochs=90,
    paper='ASL (CVPR 2024), supplement section 4, which refers to RandSAC (arXiv 2203.12054)',
    expected='not in the supplement',
    cost='not run here',
)

data_preprocessor = dict(num_classes=100)
model = dict(
    backbone=_base_.backbone,
    neck=dict(input_features=_base_.channels),
    head=dict(num_classes=100, in_channels=_base_.channels),
)
train_dataloader = dict(
    batch_size=_base_.batch_size,
    dataset=dict(data_root='data/cifar100', pipeline=[_base_.crop, _base_.pack]),
)
val_dataloader = dict(dataset=dict(data_root='data/cifar100'))
test_dataloader = val_dataloader
