# MAE with ViT-S/4 at 32 px: ASL's supplement, section 2.2. The decoder has the width and heads
# of the encoder; its depth is not printed and stays MAE's 8 (our choice).
batch_size, base_lr, warmup, epochs = 512, 1e-3, 10, 1600  # batch of all processes
lr = base_lr * batch_size / 256  # the scaling rule of MAE, from which the term base_lr is

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
        arch=dict(embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536),
        img_size=32,
        patch_size=4,
    ),
    neck=dict(
        type='mssl_plugins.MAEDecoder',
        num_patches=64,
        patch_size=4,
        embed_dim=384,
        decoder_embed_dim=384,
        decoder_depth=8,
        decoder_num_heads=6,
    ),
)

view = dict(num=1, size=32, crop='pad', padding=4, flip=0.5)
train_pipeline = [
    dict(type='mssl_plugins.Views', views=[view]),
    dict(type='mssl_plugins.PackViews'),
]

optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        custom_keys={  # MAE's: norms and biases do not decay, tokens do
            key: dict(decay_mult=0.0) for key in ('ln', 'bias')
        }
    ),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-9,
        by_epoch=True,
        begin=0,
        end=warmup,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        T_max=epochs - warmup,
        begin=warmup,
        end=epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
