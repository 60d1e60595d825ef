# Fine-tuning on 100 % of ImageNet-1K's labels
# Paper: MixMask (arXiv 2210.11456), supplement Table 3
# Expected: no number printed in the supplement
# Cost: not run here
# Command: python tools/train.py configs/benchmarks/classification/resnet50_finetune-100_in1k_mixmask.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = ['../../_base_/datasets/imagenet_classification.py', '../../_base_/runtime.py']
catalogue = dict(
    method='finetune-100', base='resnet50', data='imagenet', epochs=20, expected='no number printed')

lr_stem, lr_classifier, batch_size, epochs, weight_decay = 0.001, 0.05, 256, 20, 0
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint='', prefix='backbone.')),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=1000,
        in_channels=2048,
        loss=dict(type='mmpretrain.CrossEntropyLoss'),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01)))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=lr_stem, momentum=0.9, weight_decay=weight_decay),
    paramwise_cfg=dict(custom_keys={'head.': dict(lr_mult=lr_classifier / lr_stem)}))
param_scheduler = [dict(type='MultiStepLR', milestones=[12, 16], gamma=0.1)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=batch_size)
