# UperNet, ViT-T, 512 x 512, on a folder of your own with label maps
# Command: OWN_DATA=FOLDER OWN_CLASSES=road,tree python tools/train.py
#          configs/benchmarks/segmentation/upernet_vit-t16_8xb2-100e_own-masks.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/upernet_own.py',
    '../../_base_/dense/own_masks.py',
    '../../_base_/dense/runtime_mmseg.py',
]
catalogue = dict(
    method='segmentation',
    base='upernet',
    data='own, label maps',
    epochs=100,
    paper='the segmentor of upernet_vit-b16_8xb2-100e_ade20k on ViT-T: our choice',
    expected='depends on your images',
    cost='depends on your images',
)

width, num_classes = 192, len(_base_.classes)
model = dict(
    backbone=dict(arch='deit-tiny'),
    neck=dict(embed_dim=width),
    decode_head=dict(in_channels=[width] * 4, channels=width, num_classes=num_classes),
    auxiliary_head=dict(in_channels=width, num_classes=num_classes),
)
