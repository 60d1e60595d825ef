# ViTDet-style Mask R-CNN, ViT-T, on a folder of your own in COCO's layout
# Command: OWN_DATA=FOLDER OWN_CLASSES=cat,dog python tools/train.py
#          configs/benchmarks/detection/vitdet_vit-t16_32xb2-36e_own-coco.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = './vitdet_vit-b16_32xb2-36e_own-coco.py'
catalogue = dict(
    method='detection',
    base='vitdet',
    data='own, COCO layout',
    epochs=36,
    paper='the detector of vitdet_vit-b16_16xb4-100e_coco on ViT-T, 36 epochs: our choice',
    expected='depends on your images',
    cost='depends on your images',
)

model = dict(backbone=dict(arch='deit-tiny'), neck=dict(in_channels=192))
