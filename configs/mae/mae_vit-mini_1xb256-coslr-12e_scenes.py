# MAE on generated scenes: nothing to download, the baseline
# Command: python tools/train.py configs/mae/mae_vit-mini_1xb256-coslr-12e_scenes.py
_base_ = ['../_base_/datasets/scenes.py', '../_base_/mae/vits4.py', '../_base_/runtime.py']
catalogue = dict(
    method='mae',
    base='mae',
    data='scenes',
    epochs=12,
    paper='ASL (CVPR 2024), supplement section 2.2, shrunk: our choice',
    expected='docs/evidence.md',
    cost='minutes on 2 CPU cores, see docs/evidence.md',
)

epochs, warmup, batch_size, images = 12, 2, 256, 4000
lr = _base_.base_lr * batch_size / 256
model = dict(
    backbone=dict(arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512)),
    neck=dict(embed_dim=128, decoder_embed_dim=128, decoder_depth=1, decoder_num_heads=4),
)
# float32: bfloat16 gains only where the CPU computes in it
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=lr))
warm, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm, end=warmup),
    dict(cosine, T_max=epochs - warmup, begin=warmup, end=epochs),
]
train_cfg = dict(max_epochs=epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=1,
    dataset=dict(
        pipeline=[
            # a glyph mirrored may be another glyph: no flip
            dict(type='mssl_plugins.Views', views=[dict(_base_.view, flip=0.0)]),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
small = dict(batch_size=500, num_workers=0, persistent_workers=False)
default_hooks = dict(
    knn=dict(
        _base_.knn,
        interval=4,
        k=20,
        bank=dict(_base_.knn.bank, dataset=dict(_base_.knn.bank.dataset, indices=images), **small),
        test=dict(_base_.knn.test, dataset=dict(_base_.knn.test.dataset, indices=1000), **small),
    )
)
