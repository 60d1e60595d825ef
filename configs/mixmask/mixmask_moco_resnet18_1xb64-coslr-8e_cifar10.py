# MoCo + MixMask (block) on CIFAR-10 at a size for 2 CPU cores
# Command: python tools/train.py configs/mixmask/mixmask_moco_resnet18_1xb64-coslr-8e_cifar10.py
_base_ = 'moco_resnet18_1xb64-coslr-8e_cifar10.py'
catalogue = dict(
    method='mixmask',
    base='moco',
    data='cifar10',
    epochs=8,
    paper='MixMask (arXiv 2210.11456), supplement Table 1, shrunk: our choice',
    expected='docs/evidence.md',
    cost='see docs/evidence.md',
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=4, ratio=0.5)
)
