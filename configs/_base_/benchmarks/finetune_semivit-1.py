# 1 % of the labels: Semi-ViT's supervised stage, to which mask-guided attention,
# supplement A.1, refers. RandAugment, smoothing, warm-up: those of Tables 5 and 6 (our choice).
_base_ = './finetune_vit.py'
batch_size, base_lr, layer_decay = 512, 5e-5, 0.65
lr = base_lr * batch_size / 256
network = dict(drop_path_rate=0.0)  # of the backbone
optim_wrapper = dict(optimizer=dict(lr=lr), paramwise_cfg=dict(layer_decay_rate=layer_decay))
auto_scale_lr = dict(base_batch_size=batch_size)
