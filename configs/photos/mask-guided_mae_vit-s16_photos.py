# Mask-guided attention bias on MAE on somebody's own images
# Command: python -m mssl_plugins train mask-guided_mae_vit-s16_photos --data FOLDER
_base_ = 'mae_vit-s16_photos.py'
catalogue = dict(
    method='mask-guided',
    base='mae',
    data='photos',
    epochs=200,
    paper='Mask-guided attention bias (BMVC 2024)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

load = dict(type='mssl_plugins.LoadSegments', segments='path/to/segments')
model = dict(
    type='mssl_plugins.MaskGuidedMAE',
    num_segments=32,
    backbone=dict(mask_bias=dict(positive=True, negative=False)),
)
train_dataloader = dict(dataset=dict(pipeline=[load, *_base_.train_dataloader.dataset.pipeline]))
