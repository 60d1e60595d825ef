# MaskCo on COCO without MPH, mask off
# Command: bash tools/dist_train.sh configs/maskco/maskco-nomph-nomask_resnet50_8xb32-coslr-200e_coco.py 8
_base_ = 'maskco_resnet50_8xb32-coslr-200e_coco.py'
catalogue = dict(
    method='maskco',
    base='maskco',
    data='coco',
    epochs=200,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement Table 2, second row',
    expected='VOC AP / AP50 / AP75 54.1 / 79.5 / 59.5, linear conv4 51.8, conv5 51.1 '
    '(reported by the paper)',
    cost='8 GPUs of 32 images each in the paper, none named, no time given; not run here',
)

model = dict(fill='none', neck=None)
