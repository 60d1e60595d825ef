# MST on somebody's own images
# Command: python -m mssl_plugins train mst_vit-s16_photos --data FOLDER
_base_ = 'dino_vit-s16_photos.py'
catalogue = dict(
    method='mst',
    base='dino',
    data='photos',
    epochs=100,
    paper='MST (arXiv 2106.05656)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

model = dict(
    type='mssl_plugins.MST',
    backbone=dict(mask_token=True),
    neck=dict(type='mssl_plugins.PixelDecoder', in_channels=384, patch_size=16),
    head=dict(use_bn=True),
    strategy='attention_low',
    q=1 / 8,
    p=1.0,
    replacement='mask_token',
    target='image',
    lambda1=1.0,
    lambda2=0.6,
)
sync_bn = 'torch'
