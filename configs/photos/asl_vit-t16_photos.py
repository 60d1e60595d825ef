# ASL on somebody's own images
# Command: python -m mssl_plugins train asl_vit-t16_photos --data FOLDER
_base_ = 'mae_vit-t16_photos.py'
catalogue = dict(
    method='asl',
    base='mae',
    data='photos',
    epochs=200,
    paper='ASL (CVPR 2024)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

model = dict(type='mssl_plugins.ASL', layer=dict(num_heads=4, drop_rate=0.5))
