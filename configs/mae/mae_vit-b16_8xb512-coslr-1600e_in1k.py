# MAE with ViT-B/16 on ImageNet-1K, 1600 epochs, the baseline at equal iterations
# Command: python tools/train.py configs/mae/mae_vit-b16_8xb512-coslr-1600e_in1k.py
_base_ = ['../_base_/datasets/imagenet.py', '../_base_/mae/vitb16.py', '../_base_/runtime.py']
catalogue = dict(
    method='mae',
    base='mae',
    data='imagenet',
    epochs=1600,
    paper='ASL (CVPR 2024), supplement section 2.1 and Table 3',
    expected='ImageNet-100 linear 85.3, fine-tuned 93.1 (reported by ASL)',
    cost='8 GPUs, batch 512 each; not run here',
)

epochs = 1600
train_cfg = dict(max_epochs=epochs)
warm, cosine = _base_.param_scheduler
param_scheduler = [warm, dict(cosine, T_max=epochs - _base_.warmup, end=epochs)]

# 8 processes
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=_base_.train_pipeline))
default_hooks = dict(knn=_base_.knn)
