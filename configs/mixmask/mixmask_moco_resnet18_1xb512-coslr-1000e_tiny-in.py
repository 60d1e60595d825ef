# MoCo + MixMask on Tiny-ImageNet
# Command: python tools/train.py configs/mixmask/mixmask_moco_resnet18_1xb512-coslr-1000e_tiny-in.py
_base_ = 'moco_resnet18_1xb512-coslr-1000e_tiny-in.py'
catalogue = dict(
    method='mixmask',
    base='moco',
    data='tiny_imagenet',
    epochs=1000,
    paper='MixMask (arXiv 2210.11456), supplement Table 1; pure MixMask beside it; grid 8 '
    'at 64 px is our choice',
    expected='above the baseline (supplement Fig. 1, no number printed)',
    cost='not run here; the paper used 4 A100 for ImageNet and names none for this table',
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=8, ratio=0.5)
)
