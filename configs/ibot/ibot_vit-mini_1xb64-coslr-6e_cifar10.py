# iBOT on CIFAR-10 at a size for one CPU core
# Command: python tools/train.py configs/ibot/ibot_vit-mini_1xb64-coslr-6e_cifar10.py
_base_ = [
    '../_base_/datasets/cifar10.py',
    '../_base_/dino/dino_vit-mini.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='ibot',
    base='ibot',
    data='cifar10',
    epochs=6,
    paper='iBOT (arXiv 2111.07832), shrunk: our choice',
    expected='not measured yet',
    cost='a few minutes on one CPU core',
)

model = dict(
    type='mssl_plugins.IBOT',
    backbone=dict(mask_token=True),
    patch_criterion=dict(
        type='mssl_plugins.IBOTPatchLoss', student_temp=0.1, teacher_temp=0.04, center_momentum=0.9
    ),
    ratios=[0.0, 0.3],
    spread=[0.0, 0.2],
)
images, queries = range(0, 50000, 10), range(0, 10000, 10)  # sorted by class if packed
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
            dataset=dict(_base_.knn.bank.dataset, indices=images, pipeline=_base_.test_pipeline),
            **small,
        ),
        test=dict(
            _base_.knn.test,
            dataset=dict(_base_.knn.test.dataset, indices=queries, pipeline=_base_.test_pipeline),
            **small,
        ),
    ),
    **_base_.hooks,
)
