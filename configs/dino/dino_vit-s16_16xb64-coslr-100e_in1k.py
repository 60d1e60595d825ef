# DINO with DeiT-S on ImageNet-1K, 100 epochs
# Command: python tools/train.py configs/dino/dino_vit-s16_16xb64-coslr-100e_in1k.py
_base_ = ['../_base_/datasets/imagenet.py', '../_base_/dino/deit-s.py', '../_base_/runtime.py']
catalogue = dict(
    method='dino',
    base='dino',
    data='imagenet',
    epochs=100,
    paper='DINO (arXiv 2104.14294), its README; the baseline of MST (arXiv 2106.05656), '
    'supplement section 8',
    expected='linear 71.6 (MST), 73.8, k-NN 69.3 (DINO README, batch 512)',
    cost='1.75 days on 8 GPUs (DINO README); not run here',
)

train_dataloader = dict(
    batch_size=64,  # a process, 16 of them
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=_base_.views),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
default_hooks = dict(
    knn=dict(_base_.knn, k=[10, 20, 100, 200], temperature=0.07, branch='teacher'), **_base_.hooks
)
