# MAE with mask-guided attention bias of the negative relation, ViT-B/16
# Paper: SAM Helps SSL (BMVC 2024), supplement Table 2
# Expected: less than the positive relation (second-hand, unverified)
# Cost: 8 GPUs, 512 images each; not run here
# Command: python tools/train.py configs/mask_guided/mask-guided-negative_mae_vit-b16_8xb512-coslr-800e_in100.py
_base_ = 'mask-guided_mae_vit-b16_8xb512-coslr-800e_in100.py'
catalogue = dict(
    method='mask-guided',
    base='mae',
    data='imagenet100',
    epochs=800,
    expected='less than the positive relation (second-hand)',
)

model = dict(backbone=dict(mask_bias=dict(positive=False, negative=True)))
