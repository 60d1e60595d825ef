# MAE at 32 px for one CPU core, 12 epochs: the ViT of dino_vit-mini.py and a decoder of one block.
# The recipe is mae/vits4.py's; what is smaller or shorter is our choice.
embed_dims, patch_size = 64, 4
batch_size, epochs, warmup = 64, 12, 1
lr = 1e-3

model = dict(
    type='mssl_plugins.MAE',
    mask_ratio=0.75,
    norm_pix=True,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(
        type='mssl_plugins.ViT',
        arch=dict(embed_dims=embed_dims, num_layers=3, num_heads=2, feedforward_channels=128),
        img_size=32,
        patch_size=patch_size,
    ),
    neck=dict(
        type='mssl_plugins.MAEDecoder',
        num_patches=64,
        patch_size=patch_size,
        embed_dim=embed_dims,
        decoder_embed_dim=64,
        decoder_depth=1,
        decoder_num_heads=2,
    ),
)

view = dict(num=1, size=32, scale=(0.2, 1.0), flip=0.5)
views = [view]

train_pipeline = [dict(type='mssl_plugins.Views', views=views), dict(type='mssl_plugins.PackViews')]

no_decay = {key: dict(decay_mult=0.0) for key in ('ln', 'bias')}  # tokens decay, as in MAE
# a and b change by the learning rate a step, here in 936 steps: ten times the rate, as for DINO
bias_rate = {'mask_bias': dict(lr_mult=10.0, decay_mult=0.0)}
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=dict(**no_decay, **bias_rate)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-9, end=warmup, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup,
        begin=warmup,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
