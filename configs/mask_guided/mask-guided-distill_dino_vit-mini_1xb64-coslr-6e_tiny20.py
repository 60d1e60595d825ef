# Phase 2 of DINO with mask-guided attention bias on Tiny-ImageNet (20 classes): a plain ViT
# Command: python tools/train.py configs/mask_guided/mask-guided-distill_dino_vit-mini_1xb64-coslr-6e_tiny20.py
# Phase 1 first: python tools/train.py configs/mask_guided/mask-guided_dino_vit-mini_1xb64-coslr-6e_tiny20.py
_base_ = 'dino_vit-mini_1xb64-coslr-6e_tiny20.py'
catalogue = dict(
    method='mask-guided',
    base='dino',
    data='tiny_imagenet_20c',
    epochs=6,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 1, shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

model = dict(
    type='mssl_plugins.MaskGuidedDINODistill',
    num_segments=32,
    teacher=dict(
        checkpoint='work_dirs/mask-guided_dino_vit-mini_1xb64-coslr-6e_tiny20/epoch_6.pth',
        branch='teacher',
    ),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.LoadSegments', segments='data/segments/tiny_imagenet_20c'),
            *_base_.train_dataloader.dataset.pipeline,
        ]
    )
)
decay = _base_.hooks.schedule.schedules[1]  # there is no momentum
default_hooks = dict(schedule=dict(schedules=[decay]), knn=dict(branch='student'))
