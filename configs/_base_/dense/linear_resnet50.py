# DINOv2's linear head on a frozen ResNet-50: conv5, a cell for 32 px. Our choice; DINOv2 measures ViTs.
_base_ = './linear.py'
model = dict(
    backbone=dict(
        type='mmpretrain.ResNet', depth=50, out_indices=(3,), frozen_stages=4, norm_eval=True
    ),
    neck=dict(channels=2048),
    decode_head=dict(in_channels=2048, channels=2048),
)
