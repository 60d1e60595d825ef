# 10 % of the labels: Semi-ViT's supervised stage, to which mask-guided attention,
# supplement A.1, refers. RandAugment, smoothing, warm-up: those of Tables 5 and 6 (our choice).
_base_ = './finetune_dino.py'
batch_size, base_lr = 512, 2.5e-4
lr = base_lr * batch_size / 256
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=batch_size)
