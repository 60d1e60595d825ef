# Phase 2 of DINO with mask-guided attention bias on somebody's own images: a plain ViT
# Command: python -m mssl_plugins train mask-guided-distill_dino_vit-s16_photos --data FOLDER --from PHASE1.pth
# Phase 1 first: python -m mssl_plugins train mask-guided_dino_vit-s16_photos --data FOLDER
_base_ = 'dino_vit-s16_photos.py'
catalogue = dict(
    method='mask-guided',
    base='dino',
    data='photos',
    epochs=100,
    paper='Mask-guided attention bias (BMVC 2024), supplement Fig. 1',
    expected='docs/your-images.md',
    cost='docs/your-images.md',
)

load = dict(type='mssl_plugins.LoadSegments', segments='path/to/segments')
model = dict(
    type='mssl_plugins.MaskGuidedDINODistill',
    num_segments=32,
    teacher=dict(checkpoint='path/to/phase1.pth', branch='teacher'),
)
train_dataloader = dict(dataset=dict(pipeline=[load, *_base_.train_dataloader.dataset.pipeline]))
decay = _base_.hooks.schedule.schedules[1]  # there is no momentum
default_hooks = dict(schedule=dict(schedules=[decay]))
