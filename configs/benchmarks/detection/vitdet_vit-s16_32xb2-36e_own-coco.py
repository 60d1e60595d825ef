# ViTDet-style Mask R-CNN, ViT-S, on a folder of your own in COCO's layout
# Command: OWN_DATA=FOLDER OWN_CLASSES=cat,dog python tools/train.py
#          configs/benchmarks/detection/vitdet_vit-s16_32xb2-36e_own-coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = './vitdet_vit-b16_32xb2-36e_own-coco.py'
catalogue = dict(
    method='detection',
    base='vitdet',
    data='own, COCO layout',
    epochs=36,
    paper='the detector of vitdet_vit-b16_16xb4-100e_coco on ViT-S, 36 epochs: our choice',
    expected='depends on your images',
    cost='depends on your images',
)

model = dict(backbone=dict(arch='deit-small'), neck=dict(in_channels=384))
