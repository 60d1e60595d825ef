# MaskCo on COCO without MPH, mask on
# Command: bash tools/dist_train.sh configs/maskco/maskco-nomph_resnet50_8xb32-coslr-200e_coco.py 8
_base_ = 'maskco_resnet50_8xb32-coslr-200e_coco.py'
catalogue = dict(
    method='maskco',
    base='maskco',
    data='coco',
    epochs=200,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement Table 2, first row',
    expected='VOC AP / AP50 / AP75 56.2 / 81.4 / 62.6, linear conv4 55.3, conv5 38.5 '
    '(reported by the paper)',
    cost='8 GPUs of 32 images each in the paper, none named, no time given; not run here',
)

model = dict(neck=None)
