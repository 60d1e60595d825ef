# Mask-guided attention bias on DINO on somebody's own images
# Command: python -m mssl_plugins train mask-guided_dino_vit-t16_photos --data FOLDER
_base_ = 'dino_vit-t16_photos.py'
catalogue = dict(
    method='mask-guided',
    base='dino',
    data='photos',
    epochs=100,
    paper='Mask-guided attention bias (BMVC 2024)',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

load = dict(type='mssl_plugins.LoadSegments', segments='path/to/segments')
model = dict(
    type='mssl_plugins.MaskGuidedDINO',
    num_segments=32,
    backbone=dict(mask_bias=dict(positive=True, negative=False)),
)
train_dataloader = dict(dataset=dict(pipeline=[load, *_base_.train_dataloader.dataset.pipeline]))
default_hooks = dict(
    bias=dict(type='mssl_plugins.FreezeHook', names='backbone.mask_bias', length=100 / 3)
)  # 100 of 300 epochs in the paper
