# Linear probe on the class tokens of the last 4 blocks, ViT-S/16, ImageNet-100
# Command: python tools/train.py configs/benchmarks/classification/vit-s16_1xb256-linear-dino-coslr-100e_in100.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/linear_dino.py',
    '../../_base_/benchmarks/backbone_vits16.py',
    '../../_base_/benchmarks/images_224.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='linear',
    base='vits16',
    data='imagenet100',
    epochs=100,
    paper='mask-guided attention (BMVC 2024), supplement Table 3',
    expected='not in the supplement',
    cost='not run here',
)

classes = 'data/imagenet/imagenet100.txt'  # 100 names, one a line: tools/make_subset.py
data_preprocessor = dict(num_classes=100)
model = dict(backbone=_base_.backbone, head=dict(num_classes=100, in_channels=4 * _base_.channels))
train_dataloader = dict(batch_size=_base_.batch_size, dataset=dict(classes=classes))
val_dataloader = dict(dataset=dict(classes=classes))
test_dataloader = val_dataloader
