# MaskCo on COCO with negatives of the same image, MaskCo(+in)
# Command: bash tools/dist_train.sh configs/maskco/maskco-in_resnet50_8xb32-coslr-200e_coco.py 8
_base_ = 'maskco_resnet50_8xb32-coslr-200e_coco.py'
catalogue = dict(
    method='maskco',
    base='maskco',
    data='coco',
    epochs=200,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement section A.2: 512 negatives',
    expected='no number printed in the supplement',
    cost='8 GPUs of 32 images each in the paper, none named, no time given; not run here',
)

model = dict(intra=True)
