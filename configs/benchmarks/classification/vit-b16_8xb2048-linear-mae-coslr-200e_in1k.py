# MAE's linear probe of the ablations: 200 epochs, ViT-B/16, ImageNet-1K
# Command: python tools/train.py configs/benchmarks/classification/vit-b16_8xb2048-linear-mae-coslr-200e_in1k.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = 'vit-b16_8xb2048-linear-mae-coslr-90e_in1k.py'
catalogue = dict(
    method='linear',
    base='vitb16',
    data='imagenet',
    epochs=200,
    paper='ASL (CVPR 2024), supplement section 3.1 and Table 5',
    expected='MAE 58.8 (200 epochs of pre-training, reported by the paper)',
    cost='not run here',
)

epochs = 200
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - 10,
        begin=10,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=epochs)
