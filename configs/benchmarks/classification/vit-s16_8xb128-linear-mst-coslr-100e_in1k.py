# Linear probe on the class token of the last layer, ViT-S/16, ImageNet-1K
# Command: python tools/train.py configs/benchmarks/classification/vit-s16_8xb128-linear-mst-coslr-100e_in1k.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/linear_mst.py',
    '../../_base_/benchmarks/backbone_vits16.py',
    '../../_base_/benchmarks/images_224.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='linear',
    base='vits16',
    data='imagenet',
    epochs=100,
    paper='MST (arXiv 2106.05656), supplement section 5',
    expected='73.9 after 100 epochs, 76.3 after 300 (reported by the paper)',
    cost='not run here',
)

model = dict(
    backbone=_base_.backbone, head=dict(num_classes=_base_.num_classes, in_channels=_base_.channels)
)
train_dataloader = dict(batch_size=_base_.batch_size // 8)  # a process, 8 of them
