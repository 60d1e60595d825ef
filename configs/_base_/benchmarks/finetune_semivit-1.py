# 1 % of the labels: Semi-ViT's supervised stage, to which mask-guided attention,
# supplement A.1, refers. RandAugment, smoothing, warm-up: those of Tables 5 and 6 (our choice).
batch_size, epochs, warmup, base_lr, weight_decay, layer_decay = 512, 100, 5, 5e-5, 0.05, 0.65
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
network = dict(drop_path_rate=0.0)  # of the backbone
model = dict(
    type='mmpretrain.ImageClassifier',
    head=dict(
        type='mmpretrain.LinearClsHead',
        loss=dict(type='mmpretrain.LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
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
