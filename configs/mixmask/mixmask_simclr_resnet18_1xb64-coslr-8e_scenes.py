# SimCLR + MixMask on embedded scenes: nothing to download
# Paper: MixMask (arXiv 2210.11456), settings ours
# Expected: docs/evidence.md
# Cost: about 5 minutes on 2 CPU cores
# Command: python tools/train.py configs/mixmask/mixmask_simclr_resnet18_1xb64-coslr-8e_scenes.py
_base_ = 'simclr_resnet18_1xb64-coslr-8e_scenes.py'
catalogue = dict(
    method='mixmask', base='simclr', data='scenes', epochs=8, expected='docs/evidence.md'
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=4, ratio=0.5)
)
