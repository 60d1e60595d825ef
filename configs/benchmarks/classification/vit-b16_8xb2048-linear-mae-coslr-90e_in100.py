# MAE's linear probe, ViT-B/16, ImageNet-100
# Command: python tools/train.py configs/benchmarks/classification/vit-b16_8xb2048-linear-mae-coslr-90e_in100.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/linear_mae.py',
    '../../_base_/benchmarks/backbone_vitb16.py',
    '../../_base_/benchmarks/images_224.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='linear',
    base='vitb16',
    data='imagenet100',
    epochs=90,
    paper='mask-guided attention (BMVC 2024), supplement Table 4; ASL (CVPR 2024), Tables 1 and 3',
    expected='81.3 with the mask bias (second-hand), 85.9 ASL (reported by the paper)',
    cost='not run here',
)

classes = 'data/imagenet/imagenet100.txt'  # 100 names, one a line: tools/make_subset.py
data_preprocessor = dict(num_classes=100)
model = dict(
    backbone=_base_.backbone,
    neck=dict(input_features=_base_.channels),
    head=dict(num_classes=100, in_channels=_base_.channels),
)
train_dataloader = dict(
    batch_size=_base_.batch_size // 8,  # a process, 8 of them
    dataset=dict(classes=classes, pipeline=[_base_.crop, _base_.pack]),
)
val_dataloader = dict(dataset=dict(classes=classes))
test_dataloader = val_dataloader
