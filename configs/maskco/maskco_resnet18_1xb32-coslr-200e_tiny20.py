# MaskCo on 20 classes of Tiny-ImageNet
# Command: python tools/train.py configs/maskco/maskco_resnet18_1xb32-coslr-200e_tiny20.py
_base_ = [
    '../_base_/datasets/tiny_imagenet_20c.py',
    '../_base_/maskco/maskco_resnet18.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='maskco',
    base='maskco',
    data='tiny_imagenet_20c',
    epochs=200,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement Algorithm 1; sizes ours',
    expected='docs/evidence.md',
    cost='not run here; one GPU',
)

train_dataloader = dict(
    batch_size=_base_.batch_size,
    dataset=dict(
        pipeline=[
            dict(_base_.boxes, views=[dict(num=2, size=_base_.image_size, **_base_.view)]),
            _base_.pack,
        ]
    ),
)
default_hooks = dict(knn=_base_.knn)
