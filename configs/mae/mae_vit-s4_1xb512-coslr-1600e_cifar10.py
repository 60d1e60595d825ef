# MAE with ViT-S/4 on CIFAR-10, 1600 epochs, the baseline at equal iterations
# Command: python tools/train.py configs/mae/mae_vit-s4_1xb512-coslr-1600e_cifar10.py
_base_ = ['../_base_/datasets/cifar10.py', '../_base_/mae/vits4.py', '../_base_/runtime.py']
catalogue = dict(
    method='mae',
    base='mae',
    data='cifar10',
    epochs=1600,
    paper='ASL (CVPR 2024), supplement section 2.2',
    expected='not in the supplement',
    cost='one GPU; not run here',
)

train_dataloader = dict(batch_size=_base_.batch_size, dataset=dict(pipeline=_base_.train_pipeline))
default_hooks = dict(knn=_base_.knn)
