# MAE with ViT-L/16 on ImageNet-100 and COCO concatenated, 800 epochs, the baseline at equal iterations
# Command: python tools/train.py configs/mae/mae_vit-l16_8xb512-coslr-800e_in100-coco.py
_base_ = [
    '../_base_/datasets/imagenet100_coco.py',
    '../_base_/mae/vitb16.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='mae',
    base='mae',
    data='imagenet100+coco',
    epochs=800,
    paper='ASL (CVPR 2024), supplement Table 4',
    expected='not in the supplement',
    cost='8 GPUs, batch 512 each; not run here',
)

# MAE's Table 8 and ASL's Table 4 give ViT-L the recipe of ViT-B
model = dict(backbone=dict(arch='l'), neck=dict(embed_dim=1024))
# 8 processes
train_dataloader = dict(
    batch_size=512,
    dataset=dict(datasets=[dict(pipeline=_base_.train_pipeline, **part) for part in _base_.parts]),
)
