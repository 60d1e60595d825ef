# MAE with mask-guided attention bias of the negative relation, ViT-B/16
# Command: python tools/train.py configs/mask_guided/mask-guided-negative_mae_vit-b16_8xb512-coslr-800e_in100.py
_base_ = 'mask-guided_mae_vit-b16_8xb512-coslr-800e_in100.py'
catalogue = dict(
    method='mask-guided',
    base='mae',
    data='imagenet100',
    epochs=800,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 2',
    expected='less than the positive relation (second-hand, unverified)',
    cost='8 GPUs, 512 images each; not run here',
)

model = dict(backbone=dict(mask_bias=dict(positive=False, negative=True)))
