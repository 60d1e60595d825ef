# SimCLR on Tiny-ImageNet, the baseline
# Command: python tools/train.py configs/mixmask/simclr_resnet18_1xb512-steplr-1000e_tiny-in.py
_base_ = [
    '../_base_/datasets/tiny_imagenet.py',
    '../_base_/siamese/simclr_resnet18.py',
    '../_base_/schedules/adam_warmup_steplr_1000e.py',
    '../_base_/runtime.py',
]
catalogue = dict(
    method='simclr',
    base='simclr',
    data='tiny_imagenet',
    epochs=1000,
    paper='MixMask (arXiv 2210.11456), supplement Table 1',
    expected='no number printed; supplement Fig. 1: below MixMask',
    cost='not run here; the paper used 4 A100 for ImageNet and names none for this table',
)

# Tiny-ImageNet's values in the table; the max-pool stays at 64 px
lr, embed_dim = 0.002, 128
optim_wrapper = dict(optimizer=dict(lr=lr))
model = dict(backbone=dict(type='mssl_plugins.SmallImageResNet'), neck=dict(out_channels=embed_dim))

train_dataloader = dict(
    batch_size=_base_.batch_size,
    dataset=dict(
        pipeline=[
            dict(
                type='mssl_plugins.Views',
                views=[dict(num=2, size=_base_.image_size, **_base_.view)],
            ),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
default_hooks = dict(knn=_base_.knn, **_base_.hooks)
