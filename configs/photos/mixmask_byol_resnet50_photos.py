# MixMask on byol on somebody's own images
# Command: python -m mssl_plugins train mixmask_byol_resnet50_photos --data FOLDER
_base_ = 'byol_resnet50_photos.py'
catalogue = dict(
    method='mixmask',
    base='byol',
    data='photos',
    epochs=200,
    paper='MixMask (arXiv 2210.11456)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

model = dict(
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block', grid=8, ratio=0.5)
)
