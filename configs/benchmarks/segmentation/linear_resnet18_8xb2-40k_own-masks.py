# a folder of your own with label maps: DINOv2's linear head on a frozen ResNet-18, 40k iterations
# Command: OWN_DATA=FOLDER OWN_CLASSES=road,tree python tools/train.py
#          configs/benchmarks/segmentation/linear_resnet18_8xb2-40k_own-masks.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/linear_resnet50.py',
    '../../_base_/dense/own_masks.py',
    '../../_base_/dense/runtime_mmseg_iters.py',
]
catalogue = dict(
    method='segmentation',
    base='linear',
    data='own, label maps',
    epochs=31,
    iterations=40000,
    paper='DINOv2 (arXiv 2304.07193), section 7.4, whose head this is; on a ResNet ours',
    expected='depends on your images',
    cost='depends on your images',
)

width = 512
model = dict(
    backbone=dict(depth=18),
    neck=dict(channels=width),
    decode_head=dict(in_channels=width, channels=width, num_classes=len(_base_.classes)),
)
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
