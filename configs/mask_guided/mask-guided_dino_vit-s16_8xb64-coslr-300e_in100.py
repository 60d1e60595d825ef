# DINO with mask-guided attention bias, phase 1, DeiT-S on ImageNet-100, 300 epochs
# Command: python tools/train.py configs/mask_guided/mask-guided_dino_vit-s16_8xb64-coslr-300e_in100.py
_base_ = [
    '../_base_/mask_guided/images_in100.py',
    '../_base_/mask_guided/dino_deit-s.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='mask-guided',
    base='dino',
    data='imagenet100',
    epochs=300,
    paper='SAM Helps SSL (BMVC 2024), supplement Table 1 and A.1',
    expected='fine-tuned 89.5 (second-hand, unverified)',
    cost='8 GPUs, 64 images each; not run here',
)

model = dict(
    type='mssl_plugins.MaskGuidedDINO',
    num_segments=32,
    backbone=dict(mask_bias=dict(positive=True, negative=False, init=0.0)),
)
train_dataloader = dict(
    batch_size=64,  # a process, 8 of them
    dataset=dict(
        pipeline=[
            _base_.load,
            dict(type='mssl_plugins.Views', views=_base_.views),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
default_hooks = dict(
    temperature=_base_.temperature,
    bias=dict(type='mssl_plugins.FreezeHook', names='backbone.mask_bias', length=100),
    knn=dict(_base_.segment_knn, branch='teacher'),
    **_base_.hooks,
)
