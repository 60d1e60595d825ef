# MoCo v2 + Un-Mix on ImageNet-1K
# Command: python tools/train.py configs/mixmask/unmix_mocov2_resnet50_4xb64-coslr-200e_in1k.py
_base_ = 'mocov2_resnet50_4xb64-coslr-200e_in1k.py'
catalogue = dict(
    method='unmix',
    base='mocov2',
    data='imagenet',
    epochs=200,
    paper='Un-Mix (arXiv 2003.05438), schedule of MixMask (arXiv 2210.11456), supplement Table 2',
    expected='no number known to us',
    cost='4 x A100 40 GB in the paper; not run here',
)

model = dict(mixing=dict(type='mssl_plugins.MixMask', mode='unmix', unmix_prob=0.5))
