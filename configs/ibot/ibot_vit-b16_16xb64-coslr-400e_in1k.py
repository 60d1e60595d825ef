# iBOT with ViT-B/16 on ImageNet-1K, 400 epochs
# Command: python tools/train.py configs/ibot/ibot_vit-b16_16xb64-coslr-400e_in1k.py
_base_ = 'ibot_vit-s16_16xb64-coslr-800e_in1k.py'
catalogue = dict(
    method='ibot',
    base='ibot',
    data='imagenet',
    epochs=400,
    paper="iBOT (arXiv 2111.07832), section 3.2; arguments as SERE's with ViT-B/16, see the page",
    expected='reported in the paper: k-NN 77.1, linear 79.5, fine-tuned 84.0',
    cost='not run here',
)

epochs, lr = 400, 7.5e-4 * 1024 / 256
model = dict(backbone=dict(arch='base'), head=dict(in_channels=768, norm_last_layer=True))
large, small = _base_.views[:2], _base_.views[2]
views = [dict(view, scale=(0.32, 1.0)) for view in large] + [dict(small, scale=(0.05, 0.32))]
train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=views),
            dict(type='mssl_plugins.PackViews'),
        ]
    )
)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - 10,
        begin=10,
        end=epochs,
        eta_min=2e-6,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=epochs)
warm = dict(start=0.04, end=0.07, curve='linear', length=50, per_epoch=True, inclusive=True)
default_hooks = dict(
    temperature=dict(
        schedules=[
            dict(warm, target='criterion.teacher_temp'),
            dict(warm, target='patch_criterion.teacher_temp'),
        ]
    ),
    last_layer=dict(length=3),
    clip=dict(max_norm=0.3),
)
