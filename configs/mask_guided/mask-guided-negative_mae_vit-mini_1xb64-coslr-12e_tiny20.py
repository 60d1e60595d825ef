# MAE with mask-guided attention bias of the negative relation on Tiny-ImageNet (20 classes)
# Command: python tools/train.py configs/mask_guided/mask-guided-negative_mae_vit-mini_1xb64-coslr-12e_tiny20.py
_base_ = 'mask-guided_mae_vit-mini_1xb64-coslr-12e_tiny20.py'
catalogue = dict(
    method='mask-guided',
    base='mae',
    data='tiny_imagenet_20c',
    epochs=12,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 2, shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

model = dict(backbone=dict(mask_bias=dict(positive=False, negative=True)))
