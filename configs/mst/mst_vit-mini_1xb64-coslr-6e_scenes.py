# MST on generated scenes: nothing to download
# Command: python tools/train.py configs/mst/mst_vit-mini_1xb64-coslr-6e_scenes.py
_base_ = ['../_base_/datasets/scenes.py', '../_base_/dino/dino_vit-mini.py', '../_base_/runtime.py']
catalogue = dict(
    method='mst',
    base='dino',
    data='scenes',
    epochs=6,
    paper='MST (arXiv 2106.05656), shrunk: our choice',
    expected='docs/evidence.md',
    cost='see docs/evidence.md',
)

model = dict(
    type='mssl_plugins.MST',
    backbone=dict(mask_token=True),
    neck=dict(
        type='mssl_plugins.PixelDecoder',
        in_channels=_base_.embed_dims,
        patch_size=_base_.patch_size,
        widths=(64, 32),
    ),
    head=dict(use_bn=True),
    strategy='attention_low',
    q=1 / 8,
    p=1.0,
    replacement='mask_token',
    target='image',
    lambda1=1.0,
    lambda2=0.6,
)
sync_bn = 'torch'

# a glyph mirrored may be another glyph: no flip
train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=1,
    dataset=dict(
        indices=4000,
        pipeline=[
            dict(type='mssl_plugins.Views', views=[dict(view, flip=0.0) for view in _base_.views]),
            dict(type='mssl_plugins.PackViews'),
        ],
    ),
)
default_hooks = dict(
    logger=dict(interval=20),
    knn=dict(
        _base_.knn,
        interval=3,
        k=20,
        branch='teacher',
        bank=dict(
            _base_.knn.bank,
            batch_size=500,
            num_workers=0,
            persistent_workers=False,
            dataset=dict(_base_.knn.bank.dataset, indices=4000),
        ),
        test=dict(
            _base_.knn.test,
            batch_size=500,
            num_workers=0,
            persistent_workers=False,
            dataset=dict(_base_.knn.test.dataset, indices=2000),
        ),
    ),
    **_base_.hooks,
)
