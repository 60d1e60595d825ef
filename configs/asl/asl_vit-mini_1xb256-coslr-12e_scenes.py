# ASL on generated scenes: nothing to download
# Command: python tools/train.py configs/asl/asl_vit-mini_1xb256-coslr-12e_scenes.py
_base_ = '../mae/mae_vit-mini_1xb256-coslr-12e_scenes.py'
catalogue = dict(
    method='asl',
    base='mae',
    data='scenes',
    epochs=12,
    paper='ASL (CVPR 2024), supplement section 2.2, shrunk: our choice',
    expected='docs/evidence.md',
    cost='minutes on 2 CPU cores, see docs/evidence.md',
)

model = dict(type='mssl_plugins.ASL', layer=dict(num_heads=4, drop_rate=0.5))
