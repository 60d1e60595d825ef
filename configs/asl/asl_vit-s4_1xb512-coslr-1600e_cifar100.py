# ASL with ViT-S/4 on CIFAR-100, 1600 epochs
# Command: python tools/train.py configs/asl/asl_vit-s4_1xb512-coslr-1600e_cifar100.py
_base_ = '../mae/mae_vit-s4_1xb512-coslr-1600e_cifar100.py'
catalogue = dict(
    method='asl',
    base='mae',
    data='cifar100',
    epochs=1600,
    paper='ASL (CVPR 2024), supplement section 2.2',
    expected='not in the supplement',
    cost='one GPU; not run here',
)

model = dict(type='mssl_plugins.ASL', layer=dict(num_heads=4, drop_rate=0.5))
