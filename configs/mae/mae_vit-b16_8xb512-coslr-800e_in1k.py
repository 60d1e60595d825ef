# MAE with ViT-B/16 on ImageNet-1K, 800 epochs, the baseline at equal iterations
# Command: python tools/train.py configs/mae/mae_vit-b16_8xb512-coslr-800e_in1k.py
_base_ = ['../_base_/datasets/imagenet.py', '../_base_/mae/vitb16.py', '../_base_/runtime.py']
catalogue = dict(
    method='mae',
    base='mae',
    data='imagenet',
    epochs=800,
    paper='ASL (CVPR 2024), supplement section 2.1 and Table 3',
    expected='ImageNet-100 linear 80.5, fine-tuned 92.7 (reported by ASL)',
    cost='8 GPUs, batch 512 each; not run here',
)

# 8 processes
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=_base_.train_pipeline))
default_hooks = dict(knn=_base_.knn)
