# SimCLR + MixMask on generated scenes: nothing to download
# Command: python tools/train.py configs/mixmask/mixmask_simclr_resnet18_1xb64-coslr-8e_scenes.py
_base_ = 'simclr_resnet18_1xb64-coslr-8e_scenes.py'
catalogue = dict(
    method='mixmask',
    base='simclr',
    data='scenes',
    epochs=8,
    paper='MixMask (arXiv 2210.11456), settings ours',
    expected='docs/evidence.md',
    cost='about 5 minutes on 2 CPU cores',
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=4, ratio=0.5)
)
