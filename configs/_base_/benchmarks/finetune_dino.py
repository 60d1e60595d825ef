# DINO's fine-tuning with all labels (mask-guided attention, supplement Table 5). Class token: as
# in DINO.
batch_size, epochs, warmup, base_lr, weight_decay, layer_decay = 256, 100, 5, 1e-4, 0.05, 0.65
lr = base_lr * batch_size / 256
randaug = dict(
    type='mmpretrain.RandAugment',
    policies='timm_increasing',
    num_policies=2,
    total_level=10,
    magnitude_level=9,
    magnitude_std=0.5,
    hparams=dict(pad_val=[124, 116, 104], interpolation='bicubic'),
)
erasing = dict(
    type='mmpretrain.RandomErasing',
    erase_prob=0.25,
    mode='rand',
    min_area_ratio=0.02,
    max_area_ratio=1 / 3,
    fill_color=[123.675, 116.28, 103.53],
    fill_std=[58.395, 57.12, 57.375],
)
network = dict(drop_path_rate=0.1)  # of the backbone
model = dict(
    type='mmpretrain.ImageClassifier',
    head=dict(
        type='mmpretrain.LinearClsHead',
        loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=weight_decay),
    constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
    paramwise_cfg=dict(  # no decay but for matrices
        layer_decay_rate=layer_decay,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={'.cls_token': dict(decay_mult=0.0), '.pos_embed': dict(decay_mult=0.0)},
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, end=warmup, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup,
        begin=warmup,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=batch_size)
