# ASL with ViT-B/16 on OpenImages, 800 epochs
# Command: python tools/train.py configs/asl/asl_vit-b16_8xb512-coslr-800e_openimages.py
_base_ = '../mae/mae_vit-b16_8xb512-coslr-800e_openimages.py'
catalogue = dict(
    method='asl',
    base='mae',
    data='openimages',
    epochs=800,
    paper='ASL (CVPR 2024), supplement section 8',
    expected='ImageNet-100 linear 87.6, COCO 51.7 AP, ADE20K 49.7 mIoU (reported by the paper)',
    cost='0.2 s an iteration at batch 32 on a V100 in the paper (section 10); 8 GPUs, '
    'batch 512 each; not run here',
)

model = dict(type='mssl_plugins.ASL', layer=dict(num_heads=4, drop_rate=0.5))
