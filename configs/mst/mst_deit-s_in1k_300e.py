# MST with DeiT-S on ImageNet-1K, 300 epochs
# Paper: MST (arXiv 2106.05656), supplement Tables 1 and 3
# Expected: linear 76.3, DINO linear 76.9, k-NN 75.0 / 74.8 / 72.9 / 71.8 at k = 10 / 20 / 100 / 200
# Cost: 16 GPUs, 64 images each; the paper used 128 AMD DCUs; not run here
# Command: python tools/train.py configs/mst/mst_deit-s_in1k_300e.py
_base_ = ['../_base_/datasets/imagenet.py', '../_base_/dino/deit-s.py', '../_base_/runtime.py']
catalogue = dict(method='mst', base='dino', data='imagenet', epochs=300, expected='linear 76.3, DINO linear 76.9, k-NN 75.0 / 74.8 / 72.9 / 71.8 at k = 10 / 20 / 100 / 200')

epochs = 300
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=epochs - 10, begin=10, end=epochs, eta_min=1e-6,
         convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=epochs)

model = dict(
    type='mssl_plugins.MST',
    backbone=dict(mask_token=True),
    neck=dict(type='mssl_plugins.PixelDecoder', in_channels=_base_.embed_dims,
              patch_size=_base_.patch_size),
    head=dict(use_bn=True),
    strategy='attention_low', q=1 / 8, p=1.0, replacement='mask_token',
    target='image', lambda1=1.0, lambda2=0.6)
sync_bn = 'torch'

train_dataloader = dict(
    batch_size=64,  # a process, 16 of them
    dataset=dict(pipeline=[
        dict(type='mssl_plugins.Views', views=_base_.views),
        dict(type='mssl_plugins.PackViews'),
    ]))
default_hooks = dict(
    knn=dict(_base_.knn, k=[10, 20, 100, 200], temperature=0.07, branch='teacher'),
    temperature=dict(type='mssl_plugins.ScheduleHook', schedules=[
        dict(target='criterion.teacher_temp', start=0.04, end=0.07, curve='linear', length=30,
             per_epoch=True, inclusive=True)]),
    **_base_.hooks)
