# MAE with ViT-B/16 on ImageNet-100, 800 epochs, the baseline
# Command: python tools/train.py configs/mask_guided/mae_vit-b16_8xb512-coslr-800e_in100.py
_base_ = ['../_base_/datasets/imagenet100.py', '../_base_/mae/vitb16.py', '../_base_/runtime.py']
catalogue = dict(
    method='mae',
    base='mae',
    data='imagenet100',
    epochs=800,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 2',
    expected='linear 78.1 (second-hand, unverified; which ViT is unknown)',
    cost='8 GPUs, 512 images each; not run here',
)

train_dataloader = dict(
    batch_size=512,  # a process, 8 of them
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=[_base_.view]),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
default_hooks = dict(knn=_base_.knn)
