# DINO on generated scenes: nothing to download
# Command: python tools/train.py configs/dino/dino_vit-mini_1xb64-coslr-6e_scenes.py
_base_ = ['../_base_/datasets/scenes.py', '../_base_/dino/dino_vit-mini.py', '../_base_/runtime.py']
catalogue = dict(
    method='dino',
    base='dino',
    data='scenes',
    epochs=6,
    paper='DINO (arXiv 2104.14294), shrunk: our choice',
    expected='docs/evidence.md',
    cost='see docs/evidence.md',
)

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
