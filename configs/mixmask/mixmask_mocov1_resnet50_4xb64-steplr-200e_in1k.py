# MoCo v1 + MixMask on ImageNet-1K
# Command: python tools/train.py configs/mixmask/mixmask_mocov1_resnet50_4xb64-steplr-200e_in1k.py
_base_ = 'mocov1_resnet50_4xb64-steplr-200e_in1k.py'
catalogue = dict(
    method='mixmask',
    base='mocov1',
    data='imagenet',
    epochs=200,
    paper='MixMask (arXiv 2210.11456), supplement section 1.1',
    expected='no number known to us',
    cost='4 x A100 40 GB in the paper; not run here',
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=8, ratio=0.5)
)
