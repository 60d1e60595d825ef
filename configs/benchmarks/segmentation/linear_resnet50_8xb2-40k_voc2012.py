# Pascal VOC 2012: DINOv2's linear head on a frozen ResNet-50, 40k iterations
# Command: python tools/train.py
#          configs/benchmarks/segmentation/linear_resnet50_8xb2-40k_voc2012.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/linear_resnet50.py',
    '../../_base_/dense/voc2012.py',
    '../../_base_/dense/runtime_mmseg_iters.py',
]
catalogue = dict(
    method='segmentation',
    base='linear',
    data='voc2012',
    epochs=437,
    iterations=40000,
    paper='DINOv2 (arXiv 2304.07193), section 7.4, whose head this is; on a ResNet ours',
    expected='not run here',
    cost='8 GPUs, 2 images each; not run here',
)

model = dict(decode_head=dict(num_classes=21))
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
