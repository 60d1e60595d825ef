# DINO with mask-guided attention bias that starts at 2: its frozen warm-up sees the segments
# Command: python tools/train.py configs/mask_guided/mask-guided-init2_dino_vit-s16_8xb64-coslr-300e_in100.py
_base_ = 'mask-guided_dino_vit-s16_8xb64-coslr-300e_in100.py'
catalogue = dict(
    method='mask-guided',
    base='dino',
    data='imagenet100',
    epochs=300,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 1 and A.1; where a starts is our choice',
    expected='no number known',
    cost='8 GPUs, 64 images each; not run here',
)

model = dict(backbone=dict(mask_bias=dict(init=2.0)))
