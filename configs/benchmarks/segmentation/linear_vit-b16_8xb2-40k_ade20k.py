# ADE20K: DINOv2's linear head on a frozen ViT-B, 40k iterations
# Command: python tools/train.py
#          configs/benchmarks/segmentation/linear_vit-b16_8xb2-40k_ade20k.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/linear_vitb16.py',
    '../../_base_/dense/ade20k.py',
    '../../_base_/dense/runtime_mmseg_iters.py',
]
catalogue = dict(
    method='segmentation',
    base='linear',
    data='ade20k',
    epochs=31,
    iterations=40000,
    paper='DINOv2 (arXiv 2304.07193), section 7.4',
    expected='not run here',
    cost='8 GPUs, 2 images each; not run here',
)

train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
