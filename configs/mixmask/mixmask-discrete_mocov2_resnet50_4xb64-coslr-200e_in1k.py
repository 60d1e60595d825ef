# MoCo v2 + MixMask with discrete cells on ImageNet-1K
# Command: python tools/train.py configs/mixmask/mixmask-discrete_mocov2_resnet50_4xb64-coslr-200e_in1k.py
_base_ = 'mocov2_resnet50_4xb64-coslr-200e_in1k.py'
catalogue = dict(
    method='mixmask',
    base='mocov2',
    data='imagenet',
    epochs=200,
    paper='MixMask (arXiv 2210.11456), supplement Fig. 2',
    expected='below the block mask',
    cost='4 x A100 40 GB in the paper; not run here',
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='discrete', grid=8, ratio=0.5)
)
