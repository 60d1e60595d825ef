# DINO with mask-guided attention bias that starts at 2: its frozen warm-up sees the segments
# Command: python tools/train.py configs/mask_guided/mask-guided-init2_dino_vit-mini_1xb64-coslr-6e_cifar10.py
_base_ = 'mask-guided_dino_vit-mini_1xb64-coslr-6e_cifar10.py'
catalogue = dict(
    method='mask-guided',
    base='dino',
    data='cifar10',
    epochs=6,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 1 and A.1, shrunk; where a starts '
    'is our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

model = dict(backbone=dict(mask_bias=dict(init=2.0)))
