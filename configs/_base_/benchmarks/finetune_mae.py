# MAE's fine-tuning with all labels (ASL, supplement Table 2; mask-guided attention, supplement
# Table 6, which prints beta 2 = 0.95). Average of the patch tokens: MAE's.
_base_ = './finetune_vit.py'
batch_size, base_lr, layer_decay = 1024, 1e-3, 0.75
lr = base_lr * batch_size / 256
network = dict(drop_path_rate=0.1, out_type='avg_featmap', final_norm=False)  # of the backbone
model = dict(
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=layer_decay))
auto_scale_lr = dict(base_batch_size=batch_size)
