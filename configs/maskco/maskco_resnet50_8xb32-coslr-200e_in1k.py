# MaskCo on ImageNet-1K
# Command: bash tools/dist_train.sh configs/maskco/maskco_resnet50_8xb32-coslr-200e_in1k.py 8
_base_ = [
    '../_base_/datasets/imagenet.py',
    '../_base_/maskco/maskco_resnet50.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='maskco',
    base='maskco',
    data='imagenet',
    epochs=200,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement Table 1 and section A.2',
    expected='linear on conv1-5: 15.4 / 33.6 / 45.8 / 59.6 / 65.1 (reported by the paper)',
    cost='8 GPUs of 32 images each in the paper, none named, no time given; not run here',
)

train_dataloader = dict(batch_size=32, dataset=dict(pipeline=_base_.train_pipeline))
default_hooks = dict(knn=_base_.knn)
