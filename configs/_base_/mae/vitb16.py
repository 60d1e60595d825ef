# MAE with ViT-B/16 at 224 px: ASL's supplement, section 2.1, and MAE (arXiv 2111.06377), Table 8.
# 800 epochs; other lengths replace the schedule.
batch_size, base_lr, warmup, epochs = 4096, 1.5e-4, 40, 800  # batch of all processes
lr = base_lr * batch_size / 256

model = dict(
    type='mssl_plugins.MAE',
    mask_ratio=0.75,
    norm_pix=True,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
    ),
    backbone=dict(type='mssl_plugins.ViT', arch='b', img_size=224, patch_size=16),
    neck=dict(
        type='mssl_plugins.MAEDecoder',
        num_patches=196,
        patch_size=16,
        embed_dim=768,
        decoder_embed_dim=512,
        decoder_depth=8,
        decoder_num_heads=16,
    ),
)

view = dict(num=1, size=224, scale=(0.2, 1.0), interpolation='bicubic', flip=0.5)
pack = dict(type='mssl_plugins.PackViews')
train_pipeline = [dict(type='mssl_plugins.Views', views=[view]), pack]

optim_wrapper = dict(
    type='mssl_plugins.BF16OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, betas=(0.9, 0.95), weight_decay=0.05),
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
