# Phase 2 of DINO with mask-guided attention bias: a plain DeiT-S, ImageNet-100, 300 epochs
# Command: python tools/train.py configs/mask_guided/mask-guided-distill_dino_vit-s16_8xb64-coslr-300e_in100.py
# Phase 1 first: python tools/train.py configs/mask_guided/mask-guided_dino_vit-s16_8xb64-coslr-300e_in100.py
_base_ = 'dino_vit-s16_8xb64-coslr-300e_in100.py'
catalogue = dict(
    method='mask-guided',
    base='dino',
    data='imagenet100',
    epochs=300,
    paper='SAM Helps SSL (BMVC 2024), supplement A.1, eq. 4',
    expected='keeps most of the gain (second-hand, unverified)',
    cost='8 GPUs, 64 images each; not run here',
)

model = dict(
    type='mssl_plugins.MaskGuidedDINODistill',
    num_segments=32,
    teacher=dict(
        checkpoint='work_dirs/mask-guided_dino_vit-s16_8xb64-coslr-300e_in100/epoch_300.pth',
        branch='teacher',
    ),
)
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.LoadSegments', segments='data/segments/imagenet100'),
            *_base_.train_dataloader.dataset.pipeline,
        ]
    )
)
decay = _base_.hooks.schedule.schedules[1]  # there is no momentum
default_hooks = dict(schedule=dict(schedules=[decay]), knn=dict(branch='student'))
