# MoCo v2 on ImageNet-1K, the baseline
# Command: python tools/train.py configs/mixmask/mocov2_resnet50_4xb64-coslr-200e_in1k.py
_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/siamese/mocov2_resnet50.py',
    '../_base_/schedules/imagenet_sgd_coslr_200e.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='mocov2',
    base='mocov2',
    data='imagenet',
    epochs=200,
    paper='MixMask (arXiv 2210.11456), supplement Table 2',
    expected="linear 67.7 (reported in the authors' README)",
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
