# ADE20K semantic segmentation: UperNet, ViT-L, 512 x 512, 100 epochs
# Command: python tools/train.py configs/benchmarks/segmentation/upernet_vit-l16_8xb2-100e_ade20k.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/upernet_vit.py',
    '../../_base_/dense/ade20k.py',
    '../../_base_/dense/runtime_mmseg.py',
]
catalogue = dict(
    method='segmentation',
    base='upernet',
    data='ade20k',
    epochs=100,
    paper='ASL (CVPR 2024), supplement sections 3.4 and 6',
    expected='no number printed in the supplement',
    cost='8 GPUs, 2 images each; not run here',
)

model = dict(
    backbone=dict(arch='large', out_indices=[7, 11, 15, 23]),
    neck=dict(embed_dim=1024),
    decode_head=dict(in_channels=[1024] * 4, channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
