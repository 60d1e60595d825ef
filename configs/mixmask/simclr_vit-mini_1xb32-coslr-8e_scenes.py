# SimCLR with a small ViT on generated scenes: nothing to download
# Command: python tools/train.py configs/mixmask/simclr_vit-mini_1xb32-coslr-8e_scenes.py
_base_ = 'simclr_resnet18_1xb64-coslr-8e_scenes.py'
catalogue = dict(
    method='simclr',
    base='simclr',
    data='scenes',
    epochs=8,
    paper='none; SimCLR (arXiv 2002.05709) around a plain ViT, our combination',
    expected='docs/evidence.md (dense transfer)',
    cost='minutes on 2 CPU cores',
)

epochs, warmup, lr, batch_size = 8, 1, 0.001, 32
# the network of configs/mae/mae_vit-mini_1xb256-coslr-12e_scenes.py; its patch tokens are averaged, for dense tasks
model = dict(
    channels_last=False,
    backbone=dict(
        _delete_=True,
        type='mssl_plugins.ViT',
        arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512),
        img_size=32,
        patch_size=4,
        out_type='featmap',
    ),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=lr, betas=(0.9, 0.95), weight_decay=0.05)
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        begin=0,
        end=warmup,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - warmup,
        begin=warmup,
        end=epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=epochs)
train_dataloader = dict(batch_size=batch_size)
