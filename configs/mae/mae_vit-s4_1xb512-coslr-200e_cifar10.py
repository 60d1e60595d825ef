# MAE with ViT-S/4 on CIFAR-10, 200 epochs, the baseline
# Command: python tools/train.py configs/mae/mae_vit-s4_1xb512-coslr-200e_cifar10.py
_base_ = ['../_base_/datasets/cifar10.py', '../_base_/mae/vits4.py', '../_base_/runtime.py']
catalogue = dict(
    method='mae',
    base='mae',
    data='cifar10',
    epochs=200,
    paper='ASL (CVPR 2024), supplement section 2.2 with 200 epochs: our choice',
    expected='docs/evidence.md, GPU size, where it was run',
    cost='one GPU; not run here',
)

epochs = 200
train_cfg = dict(max_epochs=epochs)
warm, cosine = _base_.param_scheduler
param_scheduler = [warm, dict(cosine, T_max=epochs - _base_.warmup, end=epochs)]

train_dataloader = dict(batch_size=_base_.batch_size, dataset=dict(pipeline=_base_.train_pipeline))
default_hooks = dict(knn=dict(_base_.knn, interval=20, k=20))
