# DINO with mask-guided attention bias of the negative relation, phase 1
# Command: python tools/train.py configs/mask_guided/mask-guided-negative_dino_vit-s16_8xb64-coslr-300e_in100.py
_base_ = 'mask-guided_dino_vit-s16_8xb64-coslr-300e_in100.py'
catalogue = dict(
    method='mask-guided',
    base='dino',
    data='imagenet100',
    epochs=300,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 1 and A.1',
    expected='less than the positive relation (second-hand, unverified)',
    cost='8 GPUs, 64 images each; not run here',
)

model = dict(backbone=dict(mask_bias=dict(positive=False, negative=True)))
