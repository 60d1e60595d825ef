# Phase 2 of MAE with mask-guided attention bias: features of a plain ViT-B/16
# Command: python tools/train.py configs/mask_guided/mask-guided-distill_mae_vit-b16_8xb512-coslr-800e_in100.py
# Phase 1 first: python tools/train.py configs/mask_guided/mask-guided_mae_vit-b16_8xb512-coslr-800e_in100.py
_base_ = 'mae_vit-b16_8xb512-coslr-800e_in100.py'
catalogue = dict(
    method='mask-guided',
    base='mae',
    data='imagenet100',
    epochs=800,
    paper='SAM Helps SSL (BMVC 2024), supplement Fig. 1; how is not printed: our choice',
    expected='no number known',
    cost='8 GPUs, 512 images each; not run here',
)

model = dict(
    _delete_=True,
    type='mssl_plugins.MaskGuidedMAEDistill',
    num_segments=32,
    data_preprocessor=_base_.model.data_preprocessor,
    backbone=_base_.model.backbone,
    teacher=dict(
        checkpoint='work_dirs/mask-guided_mae_vit-b16_8xb512-coslr-800e_in100/epoch_800.pth'
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
