# MAE on CIFAR-10 at a size for 2 CPU cores, the baseline
# Paper: ASL (CVPR 2024), supplement section 2.2, shrunk: our choice
# Expected: docs/evidence.md
# Cost: minutes on 2 CPU cores, see docs/evidence.md
# Command: python tools/train.py configs/mae/mae_vit_cifar10-cpu.py
_base_ = [
    '../_base_/datasets/cifar10.py', '../_base_/mae/vits4.py', '../_base_/runtime.py']
catalogue = dict(method='mae', base='mae', data='cifar10', epochs=12, expected='docs/evidence.md')

epochs, warmup, batch_size, images = 12, 2, 128, range(0, 50000, 10)  # sorted by class if packed
lr = _base_.base_lr * batch_size / 256
model = dict(
    backbone=dict(arch=dict(embed_dims=128, num_layers=4, num_heads=4, feedforward_channels=512)),
    neck=dict(embed_dim=128, decoder_embed_dim=128, decoder_depth=1, decoder_num_heads=4))
# float32: bfloat16 gains only where the CPU computes in it
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(lr=lr))
warm, cosine = _base_.param_scheduler
param_scheduler = [
    dict(warm, end=warmup), dict(cosine, T_max=epochs - warmup, begin=warmup, end=epochs)]
train_cfg = dict(max_epochs=epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
train_dataloader = dict(batch_size=batch_size, num_workers=1, dataset=dict(indices=images, pipeline=[
    dict(type='mssl_plugins.Views', views=[_base_.view]),
    dict(type='mssl_plugins.PackViews'),
]))
small = dict(batch_size=500, num_workers=0, persistent_workers=False)
default_hooks = dict(knn=dict(
    _base_.knn,
    interval=6,
    k=20,
    bank=dict(_base_.knn.bank, dataset=dict(_base_.knn.bank.dataset, indices=images), **small),
    test=dict(_base_.knn.test, dataset=dict(_base_.knn.test.dataset, indices=range(0, 10000, 10)), **small)))
