# DINOv2's linear head on a frozen ViT-S/16: the normed tokens of the last block.
_base_ = './linear.py'
model = dict(
    backbone=dict(
        type='mssl_plugins.ViT',
        arch='deit-small',
        img_size=224,  # of pre-training
        patch_size=16,
        out_type='featmap',
        out_indices=-1,
        frozen_stages=12,
    ),
    neck=dict(channels=384),
    decode_head=dict(in_channels=384, channels=384),
)
