# MAE on CIFAR-10 at a size for one CPU core, the baseline of ASL and the segment bias
# Command: python tools/train.py configs/mae/mae_vit-mini_1xb64-coslr-12e_cifar10.py
_base_ = ['../_base_/datasets/cifar10.py', '../_base_/mae/mae_vit-mini.py', '../_base_/runtime.py']
catalogue = dict(
    method='mae',
    base='mae',
    data='cifar10',
    epochs=12,
    paper='MAE (arXiv 2111.06377), shrunk: our choice',
    expected='docs/evidence.md',
    cost='about 3 minutes on one CPU core, see docs/evidence.md',
)

train_dataloader = dict(
    batch_size=_base_.batch_size,
    num_workers=1,
    dataset=dict(indices=_base_.images, pipeline=_base_.train_pipeline),
)
default_hooks = dict(knn=dict(_base_.cpu_knn, interval=6, pool='avg'))
