# MoCo v1 on ImageNet-1K, the baseline
# Command: python tools/train.py configs/mixmask/mocov1_resnet50_4xb64-steplr-200e_in1k.py
_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/siamese/mocov1_resnet50.py',
    '../_base_/schedules/imagenet_sgd_steplr_200e.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='mocov1',
    base='mocov1',
    data='imagenet',
    epochs=200,
    paper='MoCo (arXiv 1911.05722)',
    expected="linear 60.6, of 5 runs 60.8 (reported by the README of MoCo's repository)",
    cost='4 x A100 40 GB in the paper; not run here',
)

train_dataloader = dict(
    batch_size=64,
    dataset=dict(
        pipeline=[
            dict(
                type='mssl_plugins.Views',
                views=[dict(num=2, size=_base_.image_size, **_base_.view)],
            ),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
default_hooks = dict(knn=_base_.knn, **_base_.hooks)
