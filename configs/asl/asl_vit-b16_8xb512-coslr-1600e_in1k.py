# ASL with ViT-B/16 on ImageNet-1K, 1600 epochs
# Command: python tools/train.py configs/asl/asl_vit-b16_8xb512-coslr-1600e_in1k.py
_base_ = '../mae/mae_vit-b16_8xb512-coslr-1600e_in1k.py'
catalogue = dict(
    method='asl',
    base='mae',
    data='imagenet',
    epochs=1600,
    paper='ASL (CVPR 2024), supplement section 2.1 and Table 3',
    expected='not in the supplement',
    cost='0.2 s an iteration at batch 32 on a V100 in the paper (section 10); 8 GPUs, '
    'batch 512 each; not run here',
)

model = dict(type='mssl_plugins.ASL', layer=dict(num_heads=4, drop_rate=0.5))
