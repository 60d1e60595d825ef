# DINO with mask-guided attention bias on generated scenes: nothing to download, true segments
# Command: python tools/train.py configs/mask_guided/mask-guided_dino_vit-mini_1xb64-coslr-6e_scenes.py
_base_ = ['../_base_/datasets/scenes.py', '../_base_/dino/dino_vit-mini.py', '../_base_/runtime.py']
catalogue = dict(
    method='mask-guided',
    base='dino',
    data='scenes',
    epochs=6,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 1, shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core',
)

model = dict(
    type='mssl_plugins.MaskGuidedDINO',
    num_segments=32,
    backbone=dict(mask_bias=dict(positive=True, negative=False, init=0.0)),
)
small = dict(batch_size=500, num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=1,
    # a glyph mirrored may be another glyph: no flip
    dataset=dict(
        indices=4000,
        segments=True,
        pipeline=[
            dict(type='mssl_plugins.Views', views=[dict(view, flip=0.0) for view in _base_.views]),
            dict(type='mssl_plugins.PackViews'),
        ],
    ),
)
default_hooks = dict(
    bias=dict(type='mssl_plugins.FreezeHook', names='backbone.mask_bias', length=2),
    knn=dict(
        _base_.knn,
        interval=3,
        k=20,
        branch='teacher',
        bank=dict(
            _base_.knn.bank,
            dataset=dict(_base_.knn.bank.dataset, indices=4000, segments=True),
            **small,
        ),
        test=dict(
            _base_.knn.test,
            dataset=dict(_base_.knn.test.dataset, indices=2000, segments=True),
            **small,
        ),
    ),
    **_base_.hooks,
)
