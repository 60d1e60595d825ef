# Linear classifiers on conv1 ... conv5 (MaskCo, supplement A.3), each after BatchNorm without
# affine. The supplement prints lr 0.1; the configuration that it says it uses has 0.01 (Nesterov,
# 8 x 32 images): 0.01 is the default, 0.1 is `--cfg-options optim_wrapper.optimizer.lr=0.1`.
# That configuration, r50_multihead.py of OpenSelfSup, also resizes bilinearly and puts color jitter
# and AlexNet's lighting after crop and flip.
batch_size, epochs, lr, weight_decay = 256, 90, 0.01, 1e-4
model = dict(
    type='mssl_plugins.ProbeClassifier',
    features=['conv1', 'conv2', 'conv3', 'conv4', 'conv5'],
    head=dict(type='mssl_plugins.MultiLayerHead'),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay, nesterov=True),
)
jitter = dict(
    type='mssl_plugins.ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.0
)
lighting = dict(type='mssl_plugins.Lighting', std=0.1)
param_scheduler = [dict(type='MultiStepLR', milestones=[30, 60], gamma=0.1)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=batch_size)
