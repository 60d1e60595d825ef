# ASL with ViT-S/4 on CIFAR-10, 200 epochs
# Command: python tools/train.py configs/asl/asl_vit-s4_1xb512-coslr-200e_cifar10.py
_base_ = '../mae/mae_vit-s4_1xb512-coslr-200e_cifar10.py'
catalogue = dict(
    method='asl',
    base='mae',
    data='cifar10',
    epochs=200,
    paper='ASL (CVPR 2024), supplement section 2.2 with 200 epochs: our choice',
    expected='docs/evidence.md, GPU size, where it was run',
    cost='one GPU; not run here',
)

model = dict(type='mssl_plugins.ASL', layer=dict(num_heads=4, drop_rate=0.5))
