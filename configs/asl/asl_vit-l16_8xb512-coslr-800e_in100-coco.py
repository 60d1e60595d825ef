# ASL with ViT-L/16 on ImageNet-100 and COCO concatenated, 800 epochs
# Command: python tools/train.py configs/asl/asl_vit-l16_8xb512-coslr-800e_in100-coco.py
_base_ = '../mae/mae_vit-l16_8xb512-coslr-800e_in100-coco.py'
catalogue = dict(
    method='asl',
    base='mae',
    data='imagenet100+coco',
    epochs=800,
    paper='ASL (CVPR 2024), supplement Table 4',
    expected='ImageNet-100 linear 85.1, fine-tuned 93.7 (reported by the paper)',
    cost='8 GPUs, batch 512 each; not run here',
)

model = dict(type='mssl_plugins.ASL', layer=dict(num_heads=4, drop_rate=0.5))
