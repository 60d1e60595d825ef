# MAE with ViT-B/16 on OpenImages, 800 epochs, the baseline at equal iterations
# Command: python tools/train.py configs/mae/mae_vit-b16_8xb512-coslr-800e_openimages.py
_base_ = ['../_base_/datasets/openimages.py', '../_base_/mae/vitb16.py', '../_base_/runtime.py']
catalogue = dict(
    method='mae',
    base='mae',
    data='openimages',
    epochs=800,
    paper='ASL (CVPR 2024), supplement section 8',
    expected='ImageNet-100 linear 83.5, COCO 49.9 AP, ADE20K 47.8 mIoU (reported by ASL)',
    cost='8 GPUs, batch 512 each; not run here',
)

# 8 processes
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=_base_.train_pipeline))
