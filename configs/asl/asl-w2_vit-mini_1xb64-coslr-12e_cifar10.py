# ASL on CIFAR-10 at a size for one CPU core, weight 2 of L_SEM
# Command: python tools/train.py configs/asl/asl-w2_vit-mini_1xb64-coslr-12e_cifar10.py
_base_ = '../mae/mae_vit-mini_1xb64-coslr-12e_cifar10.py'
catalogue = dict(
    method='asl',
    base='mae',
    data='cifar10',
    epochs=12,
    paper='ASL (CVPR 2024), supplement section 2.2, shrunk: our choice',
    expected='docs/evidence.md',
    cost='minutes on one CPU core, see docs/evidence.md',
)

model = dict(type='mssl_plugins.ASL', layer=dict(num_heads=4, drop_rate=0.5), weight=2.0)
