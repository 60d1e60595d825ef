# Phase 2 of MAE with mask-guided attention bias on somebody's own images: a plain ViT
# Command: python -m mssl_plugins train mask-guided-distill_mae_vit-t16_photos --data FOLDER --from PHASE1.pth
# Phase 1 first: python -m mssl_plugins train mask-guided_mae_vit-t16_photos --data FOLDER
_base_ = 'mae_vit-t16_photos.py'
catalogue = dict(
    method='mask-guided',
    base='mae',
    data='photos',
    epochs=200,
    paper='Mask-guided attention bias (BMVC 2024), supplement Fig. 1; how is not printed: our choice',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

load = dict(type='mssl_plugins.LoadSegments', segments='path/to/segments')
model = dict(
    _delete_=True,
    type='mssl_plugins.MaskGuidedMAEDistill',
    num_segments=32,
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    teacher=dict(checkpoint='path/to/phase1.pth'),
)
train_dataloader = dict(dataset=dict(pipeline=[load, *_base_.train_dataloader.dataset.pipeline]))
