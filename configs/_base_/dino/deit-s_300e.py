# DINO with DeiT-S, 300 epochs (arXiv 2104.14294; its README, section "Boosting").
_base_ = 'deit-s.py'
epochs = 300
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=epochs - _base_.warmup, end=epochs),
]
train_cfg = dict(max_epochs=epochs)
