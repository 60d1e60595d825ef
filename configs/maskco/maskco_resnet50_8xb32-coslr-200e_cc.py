# MaskCo on Conceptual Captions
# Command: bash tools/dist_train.sh configs/maskco/maskco_resnet50_8xb32-coslr-200e_cc.py 8
_base_ = [
    '../_base_/datasets/conceptual_captions.py',
    '../_base_/maskco/maskco_resnet50.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='maskco',
    base='maskco',
    data='conceptual captions',
    epochs=200,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement section A.2: the '
    'hyper-parameters of ImageNet',
    expected='no number printed in the supplement',
    cost='8 GPUs of 32 images each in the paper, none named, no time given; not run here',
)

train_dataloader = dict(batch_size=32, dataset=dict(pipeline=_base_.train_pipeline))
