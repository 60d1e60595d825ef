# DINO's fine-tuning with all labels (mask-guided attention, supplement Table 5). Class token: as
# in DINO.
_base_ = './finetune_vit.py'
batch_size, base_lr, layer_decay = 256, 1e-4, 0.65
lr = base_lr * batch_size / 256
erasing = dict(
    type='mmpretrain.RandomErasing',
    erase_prob=0.25,
    mode='rand',
    min_area_ratio=0.02,
    max_area_ratio=1 / 3,
    fill_color=[123.675, 116.28, 103.53],
    fill_std=[58.395, 57.12, 57.375],
)
network = dict(drop_path_rate=0.1)  # of the backbone
model = dict(
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=layer_decay))
auto_scale_lr = dict(base_batch_size=batch_size)
