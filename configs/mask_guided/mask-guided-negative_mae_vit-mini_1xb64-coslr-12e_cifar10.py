# MAE with mask-guided attention bias of the negative relation on CIFAR-10
# Command: python tools/train.py configs/mask_guided/mask-guided-negative_mae_vit-mini_1xb64-coslr-12e_cifar10.py
_base_ = 'mask-guided_mae_vit-mini_1xb64-coslr-12e_cifar10.py'
catalogue = dict(
    method='mask-guided',
    base='mae',
    data='cifar10',
    epochs=12,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 2, shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

model = dict(backbone=dict(mask_bias=dict(positive=False, negative=True)))
