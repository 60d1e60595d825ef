# Phase 2 of MAE with mask-guided attention bias on Tiny-ImageNet (20 classes): a plain ViT
# Command: python tools/train.py configs/mask_guided/mask-guided-distill_mae_vit-mini_1xb64-coslr-12e_tiny20.py
# Phase 1 first: python tools/train.py configs/mask_guided/mask-guided_mae_vit-mini_1xb64-coslr-12e_tiny20.py
_base_ = 'mae_vit-mini_1xb64-coslr-12e_tiny20.py'
catalogue = dict(
    method='mask-guided',
    base='mae',
    data='tiny_imagenet_20c',
    epochs=12,
    paper='SAM Helps SSL (BMVC 2024), supplement Fig. 1; how is not printed: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

model = dict(
    _delete_=True,
    type='mssl_plugins.MaskGuidedMAEDistill',
    num_segments=32,
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    teacher=dict(
        checkpoint='work_dirs/mask-guided_mae_vit-mini_1xb64-coslr-12e_tiny20/epoch_12.pth'
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
