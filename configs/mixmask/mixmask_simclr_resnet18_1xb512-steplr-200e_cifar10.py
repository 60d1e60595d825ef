# SimCLR + MixMask (block) on CIFAR-10, 200 epochs
# Command: python tools/train.py configs/mixmask/mixmask_simclr_resnet18_1xb512-steplr-200e_cifar10.py
_base_ = 'simclr_resnet18_1xb512-steplr-200e_cifar10.py'
catalogue = dict(
    method='mixmask',
    base='simclr',
    data='cifar10',
    epochs=200,
    paper="MixMask (arXiv 2210.11456), supplement Table 1, CIFAR's values with 200 "
    'epochs; grid 4: our choice',
    expected='docs/evidence.md, GPU size, where it was run',
    cost='not run here',
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=4, ratio=0.5)
)
