# MAE with mask-guided attention bias of the negative relation on CIFAR-10
# Paper: SAM Helps SSL (BMVC 2024), supplement Table 2, shrunk: our choice
# Expected: docs/evidence.md
# Cost: about 3 minutes on one CPU core, see docs/evidence.md
# Command: python tools/train.py configs/mask_guided/mask-guided-negative_mae_vit-mini_1xb64-coslr-12e_cifar10.py
_base_ = 'mask-guided_mae_vit-mini_1xb64-coslr-12e_cifar10.py'
catalogue = dict(
    method='mask-guided', base='mae', data='cifar10', epochs=12, expected='docs/evidence.md'
)

model = dict(backbone=dict(mask_bias=dict(positive=False, negative=True)))
