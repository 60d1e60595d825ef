# Adam, warm-up, steps: SimCLR and BYOL on small images (MixMask's supplement, Table 1; values for
# CIFAR, Tiny-ImageNet overrides lr).  From the code that the table builds on: 500 iterations of
# linear warm-up, steps of 0.2 at 50 and 25 epochs before the end.
# Weight decay: the table prints 5e-4 and, as "Adam l2", 1e-6; that code has 1e-6, which we ship.
lr, weight_decay, batch_size, epochs, warmup_iters = 0.003, 1e-6, 512, 1000, 500

optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=lr, weight_decay=weight_decay)
)
warmup = dict(type='LinearLR', start_factor=1 / warmup_iters, end=warmup_iters, by_epoch=False)
param_scheduler = [
    warmup,  # (i + 1) / 500 of lr at iteration i
    dict(type='MultiStepLR', milestones=[epochs - 50, epochs - 25], gamma=0.2),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs)
