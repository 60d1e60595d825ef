# MAE with ViT-B/16 on ImageNet-1K, 200 epochs, its own views
# Command: python tools/train.py configs/mae/mae_vit-b16_8xb512-coslr-200e_in1k.py
_base_ = ['../_base_/datasets/imagenet.py', '../_base_/mae/vitb16.py', '../_base_/runtime.py']
catalogue = dict(
    method='mae',
    base='mae',
    data='imagenet',
    epochs=200,
    paper='ASL (CVPR 2024), supplement Table 5, baseline',
    expected='ImageNet-1K linear 58.8 (reported by ASL)',
    cost='8 GPUs, batch 512 each; not run here',
)

epochs = 200
train_cfg = dict(max_epochs=epochs)
warm, cosine = _base_.param_scheduler
param_scheduler = [warm, dict(cosine, T_max=epochs - _base_.warmup, end=epochs)]

# 8 processes
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=_base_.train_pipeline))
default_hooks = dict(knn=_base_.knn)
