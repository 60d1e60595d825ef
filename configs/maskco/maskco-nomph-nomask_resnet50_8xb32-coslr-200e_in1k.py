# MaskCo on ImageNet-1K without MPH and without the mask
# Command: bash tools/dist_train.sh configs/maskco/maskco-nomph-nomask_resnet50_8xb32-coslr-200e_in1k.py 8
_base_ = 'maskco_resnet50_8xb32-coslr-200e_in1k.py'
catalogue = dict(
    method='maskco',
    base='maskco',
    data='imagenet',
    epochs=200,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement Algorithm 1, both left out',
    expected='no number printed in the supplement',
    cost='8 GPUs of 32 images each in the paper, none named, no time given; not run here',
)

model = dict(fill='none', neck=None)
