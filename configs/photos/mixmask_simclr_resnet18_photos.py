# MixMask on simclr on somebody's own images
# Command: python -m mssl_plugins train mixmask_simclr_resnet18_photos --data FOLDER
_base_ = 'simclr_resnet18_photos.py'
catalogue = dict(
    method='mixmask',
    base='simclr',
    data='photos',
    epochs=200,
    paper='MixMask (arXiv 2210.11456)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=8, ratio=0.5)
)
