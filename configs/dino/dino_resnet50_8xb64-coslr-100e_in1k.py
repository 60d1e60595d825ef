# DINO with ResNet-50 on ImageNet-1K, 100 epochs
# Command: python tools/train.py configs/dino/dino_resnet50_8xb64-coslr-100e_in1k.py
_base_ = ['../_base_/datasets/imagenet.py', '../_base_/dino/resnet50.py', '../_base_/runtime.py']
catalogue = dict(
    method='dino',
    base='dino',
    data='imagenet',
    epochs=100,
    paper='DINO (arXiv 2104.14294), README, section "ResNet-50"',
    expected='not printed for 100 epochs; linear 75.3, k-NN 67.5 for the longest run (DINO README)',
    cost='8 GPUs, 64 images each; not run here',
)

train_dataloader = dict(
    batch_size=64,  # a process, 8 of them
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
