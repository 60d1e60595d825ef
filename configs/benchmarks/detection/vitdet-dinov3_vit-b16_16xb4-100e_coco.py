# COCO detection and instance segmentation: ViTDet-style Mask R-CNN from DINOv3's ViT-B/16
# Command: python tools/train.py configs/benchmarks/detection/vitdet-dinov3_vit-b16_16xb4-100e_coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = './vitdet_vit-b16_16xb4-100e_coco.py'
catalogue = dict(
    method='detection',
    base='vitdet',
    data='coco',
    epochs=100,
    paper="the detector of vitdet-layerdecay_vit-b16_16xb4-100e_coco on DINOv3's network: our choice",
    expected='not run here',
    cost='16 GPUs, 4 images each; not run here',
)

# rotary positions of the whole map, inside windows too; class token and registers are left out
model = dict(
    backbone=dict(
        rope=dict(base=100.0),
        rel_pos=False,
        layer_scale_init_value=1e-5,
        norm_cfg=dict(type='LN', eps=1e-5),
    )
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
