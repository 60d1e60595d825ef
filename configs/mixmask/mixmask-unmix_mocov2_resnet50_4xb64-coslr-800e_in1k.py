# MoCo v2 + Un-Mix + MixMask on ImageNet-1K, 800 epochs
# Command: python tools/train.py configs/mixmask/mixmask-unmix_mocov2_resnet50_4xb64-coslr-800e_in1k.py
_base_ = 'mocov2_resnet50_4xb64-coslr-200e_in1k.py'
catalogue = dict(
    method='mixmask-unmix',
    base='mocov2',
    data='imagenet',
    epochs=800,
    paper='MixMask (arXiv 2210.11456), supplement Table 2',
    expected='no number known to us',
    cost='4 x A100 40 GB in the paper; not run here',
)

epochs = 800
train_cfg = dict(max_epochs=epochs)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=epochs, by_epoch=True, convert_to_iter_based=True)
]
model = dict(
    mixing=dict(
        type='mssl_plugins.MixMask', mode='both', pattern='block', grid=8, ratio=0.5, unmix_prob=0.5
    )
)
