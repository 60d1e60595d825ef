# DINOv2's linear head on a frozen ViT-B/16: the normed tokens of the last block.
_base_ = './linear.py'
model = dict(
    backbone=dict(
        type='mssl_plugins.ViT',
        arch='base',
        img_size=224,  # of pre-training
        patch_size=16,
        out_type='featmap',
        out_indices=-1,
        frozen_stages=12,
    ),
    neck=dict(channels=768),
    decode_head=dict(in_channels=768, channels=768),
)
