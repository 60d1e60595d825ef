# SimSiam + MixMask on CIFAR-100
# Command: python tools/train.py configs/mixmask/mixmask_simsiam_resnet18_1xb512-coslr-1000e_cifar100.py
_base_ = 'simsiam_resnet18_1xb512-coslr-1000e_cifar100.py'
catalogue = dict(
    method='mixmask',
    base='simsiam',
    data='cifar100',
    epochs=1000,
    paper='MixMask (arXiv 2210.11456), supplement Table 1; pure MixMask beside it; grid 4 '
    'at 32 px is our choice',
    expected='above the baseline (supplement Fig. 1, no number printed)',
    cost='not run here; the paper used 4 A100 for ImageNet and names none for this table',
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=4, ratio=0.5)
)
