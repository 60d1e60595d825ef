# DINO on Tiny-ImageNet (20 classes) at a size for one CPU core, the baseline
# Command: python tools/train.py configs/mask_guided/dino_vit-mini_1xb64-coslr-6e_tiny20.py
_base_ = [
    '../_base_/datasets/tiny_imagenet_20c.py',
    '../_base_/dino/dino_vit-mini.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='dino',
    base='dino',
    data='tiny_imagenet_20c',
    epochs=6,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 1, shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

test_pipeline = [  # 64 px images and segments, 32 px views
    dict(type='mssl_plugins.CenterView', size=32),
    dict(type='mssl_plugins.PackViews'),
]
images, queries = range(0, 10000, 2), range(0, 1000)  # sorted by class
small = dict(batch_size=500, num_workers=0, persistent_workers=False)
train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=1,
    dataset=dict(
        indices=images,
        pipeline=[
            dict(type='mssl_plugins.Views', views=_base_.views),
            dict(type='mssl_plugins.PackViews'),
        ],
    ),
)
default_hooks = dict(
    knn=dict(
        _base_.knn,
        interval=3,
        k=20,
        branch='teacher',
        bank=dict(
            _base_.knn.bank,
            dataset=dict(_base_.knn.bank.dataset, indices=images, pipeline=test_pipeline),
            **small,
        ),
        test=dict(
            _base_.knn.test,
            dataset=dict(_base_.knn.test.dataset, indices=queries, pipeline=test_pipeline),
            **small,
        ),
    ),
    **_base_.hooks,
)
