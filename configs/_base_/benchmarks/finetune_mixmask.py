# Fine-tuning a ResNet with 1, 10 or 100 % of the labels (MixMask, supplement Table 3): two learning
# rates, one of the backbone ("stem") and one of the classifier. Set by the configs: 0.002 and 0.5
# for 1 and 10 %, 0.001 and 0.05 for all.
batch_size, epochs, weight_decay = 256, 20, 0
lr_stem, lr_classifier = 0.002, 0.5
model = dict(
    type='mmpretrain.ImageClassifier',
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
    ),
)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=lr_stem, momentum=0.9, weight_decay=weight_decay),
    paramwise_cfg=dict(custom_keys={'head.': dict(lr_mult=lr_classifier / lr_stem)}),
)
param_scheduler = [dict(type='MultiStepLR', milestones=[12, 16], gamma=0.1)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=batch_size)
