# COCO detection and instance segmentation: ViTDet-style Mask R-CNN, ViT-L, layer decay 0.8
# Command: python tools/train.py configs/benchmarks/detection/vitdet-layerdecay_vit-l16_16xb4-100e_coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = './vitdet_vit-l16_16xb4-100e_coco.py'
catalogue = dict(
    method='detection',
    base='vitdet',
    data='coco',
    epochs=100,
    paper="ViTDet (arXiv 2203.16527), section A.2, for the layer decay; the rest is ASL's "
    '(CVPR 2024), supplement section 3.3, which prints none',
    expected='no number printed for this combination',
    cost='16 GPUs, 4 images each; not run here',
)

optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
