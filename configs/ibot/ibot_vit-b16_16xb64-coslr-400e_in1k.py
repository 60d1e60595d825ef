# iBOT with ViT-B/16 on ImageNet-1K, 400 epochs
# Command: python tools/train.py configs/ibot/ibot_vit-b16_16xb64-coslr-400e_in1k.py
_base_ = ['../_base_/datasets/imagenet.py', '../_base_/dino/deit-s.py', '../_base_/runtime.py']
catalogue = dict(
    method='ibot',
    base='ibot',
    data='imagenet',
    epochs=400,
    paper="iBOT (arXiv 2111.07832), its README; ViT-S/16's numbers, see the page",
    expected='k-NN 77.1, linear 79.5, fine-tuned 83.8 (its README)',
    cost='not run here',
)

epochs, prototypes = 400, 8192
model = dict(
    type='mssl_plugins.IBOT',
    backbone=dict(arch='base', mask_token=True),
    head=dict(in_channels=768, out_channels=prototypes, norm_last_layer=True),
    patch_criterion=dict(
        type='mssl_plugins.IBOTPatchLoss', student_temp=0.1, teacher_temp=0.04, center_momentum=0.9
    ),
    # half of the images are whole, of the others 10 to 50 % are hidden
    ratios=[0.0, 0.3],
    spread=[0.0, 0.2],
    strategy='block',
    lambda1=1.0,
    lambda2=1.0,
)
large, small = _base_.views[:2], _base_.views[2]
views = [dict(view, scale=(0.25, 1.0)) for view in large]
views += [dict(small, num=10, scale=(0.05, 0.25))]
train_dataloader = dict(
    batch_size=64,  # a process, 16 of them
    dataset=dict(
        pipeline=[
            dict(type='mssl_plugins.Views', views=views),
            dict(type='mssl_plugins.PackViews'),
        ]
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, end=10, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        T_max=epochs - 10,
        begin=10,
        end=epochs,
        eta_min=1e-6,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=epochs)
warm = dict(start=0.04, end=0.07, curve='linear', length=30, per_epoch=True, inclusive=True)
default_hooks = dict(
    knn=dict(_base_.knn, k=[10, 20, 100, 200], temperature=0.07, branch='teacher'),
    temperature=dict(
        type='mssl_plugins.ScheduleHook',
        schedules=[
            dict(warm, target='criterion.teacher_temp'),
            dict(warm, target='patch_criterion.teacher_temp'),
        ],
    ),
    **_base_.hooks,
)
