# MaskCo on 20 classes of Tiny-ImageNet without the mask
# Command: python tools/train.py configs/maskco/maskco-nomask_resnet18_1xb32-coslr-200e_tiny20.py
_base_ = 'maskco_resnet18_1xb32-coslr-200e_tiny20.py'
catalogue = dict(
    method='maskco',
    base='maskco',
    data='tiny_imagenet_20c',
    epochs=200,
    paper='MaskCo (ICCV 2021, arXiv 2108.07954), supplement Table 2; sizes ours',
    expected='docs/evidence.md',
    cost='not run here; one GPU',
)

model = dict(fill='none')
