# DINO with DeiT-S, 300 epochs: SAM Helps SSL, supplement Table 1, batch of all processes 512,
# lr 2.5e-3 x batch / 256.  Epochs, width and patch size are not printed (our choice); what the
# table leaves open is DINO's (arXiv 2104.14294).
_base_ = '../dino/deit-s_300e.py'
batch_size = 512
lr = 2.5e-3 * batch_size / 256
optim_wrapper = dict(optimizer=dict(lr=lr))
auto_scale_lr = dict(base_batch_size=batch_size)
