# DINO with DeiT-S on ImageNet-100, 300 epochs, the baseline
# Command: python tools/train.py configs/mask_guided/dino_vit-s16_8xb64-coslr-300e_in100.py
_base_ = [
    '../_base_/datasets/imagenet100.py',
    '../_base_/mask_guided/dino_deit-s.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='dino',
    base='dino',
    data='imagenet100',
    epochs=300,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 1',
    expected='fine-tuned 89.1 (second-hand, unverified)',
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
    knn=dict(_base_.knn, branch='teacher'),
    temperature=_base_.temperature,
    **_base_.hooks,
)
