# ASL with ViT-B/16 on COCO train2017, 800 epochs, weight 0.5 of L_SEM (1 is asl_vitb16_coco_800e)
# Paper: ASL (CVPR 2024), supplement section 9; which data is not printed (our choice:
#        COCO, as in the other ablations)
# Expected: linear 48.0 under AEE setting (weight 1: 48.6)
# Cost: 0.2 s an iteration at batch 32 on a V100 in the paper (section 10);
#       8 GPUs, batch 512 each; not run here
# Command: python tools/train.py configs/asl/asl-w05_vitb16_coco_800e.py
_base_ = '../mae/mae_vitb16_coco_800e.py'
catalogue = dict(
    method='asl', base='mae', data='coco', epochs=800,
    expected='linear 48.0 under AEE setting (weight 1: 48.6)')

model = dict(type='mssl_plugins.ASL', layer=dict(num_heads=4, drop_rate=0.5), weight=0.5)
