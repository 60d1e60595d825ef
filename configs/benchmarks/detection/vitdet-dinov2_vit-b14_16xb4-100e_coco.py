# COCO detection and instance segmentation: ViTDet-style Mask R-CNN from DINOv2's ViT-B/14
# Command: python tools/train.py configs/benchmarks/detection/vitdet-dinov2_vit-b14_16xb4-100e_coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = './vitdet_vit-b16_16xb4-100e_coco.py'
catalogue = dict(
    method='detection',
    base='vitdet',
    data='coco',
    epochs=100,
    paper="the detector of vitdet-layerdecay_vit-b16_16xb4-100e_coco on DINOv2's network: our choice",
    expected='not run here',
    cost='16 GPUs, 4 images each; not run here',
)

# windows have no place for class token and registers: they are left out while loading
patch, levels = 14, [3.5, 7, 14, 28]
model = dict(
    backbone=dict(img_size=518, patch_size=patch, layer_scale_init_value=1e-5, map_size=74),
    rpn_head=dict(anchor_generator=dict(strides=[*levels, 56])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=levels),
        mask_roi_extractor=dict(featmap_strides=levels),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
