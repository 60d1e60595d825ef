# DINO with DeiT-S, 300 epochs: SAM Helps SSL, supplement Table 1, batch of all processes 512,
# lr 2.5e-3 x batch / 256.  Epochs, width and patch size are not printed (our choice); what the
# table leaves open is DINO's (arXiv 2104.14294).
_base_ = '../dino/deit-s.py'
batch_size, epochs = 512, 300
lr = 2.5e-3 * batch_size / 256
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], T_max=epochs - 10, end=epochs),
]
train_cfg = dict(max_epochs=epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
temperature = dict(  # over 30 epochs: DINO's length for these temperatures
    target='criterion.teacher_temp',
    start=0.04,
    end=0.07,
    curve='linear',
    length=30,
    per_epoch=True,
    inclusive=True,
)
