# DINO with DeiT-S on ImageNet-1K, 300 epochs
# Command: python tools/train.py configs/dino/dino_vit-s16_16xb64-coslr-300e_in1k.py
_base_ = ['../_base_/datasets/imagenet.py', '../_base_/dino/deit-s_300e.py', '../_base_/runtime.py']
catalogue = dict(
    method='dino',
    base='dino',
    data='imagenet',
    epochs=300,
    paper='DINO (arXiv 2104.14294), its README, section "Boosting"',
    expected='linear 76.1, k-NN 73.3 (DINO README, free last layer)',
    cost='2.6 days on 16 GPUs (DINO README); not run here',
)

model = dict(head=dict(norm_last_layer=False))
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
    knn=dict(_base_.knn, k=[10, 20, 100, 200], temperature=0.07, branch='teacher'),
    temperature=_base_.temperature,
    **_base_.hooks,
)
