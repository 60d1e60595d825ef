# Linear probe on the pooled last layer, MoCo's protocol
# Paper: MixMask (arXiv 2210.11456), supplement Table 2
# Expected: MoCo v2 67.7, MixMask 69.2, Un-Mix + MixMask 69.5 (200 epochs, reported by the paper)
# Cost: 4 x A100 40 GB in the paper; not run here
# Command: python tools/train.py configs/benchmarks/classification/resnet50_linear_in1k_moco.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = ['../../_base_/datasets/imagenet_classification.py', '../../_base_/runtime.py']
catalogue = dict(
    method='linear', base='resnet50', data='imagenet', epochs=100, expected='MixMask 69.2 (paper)')

lr, batch_size, epochs, weight_decay = 30, 256, 100, 0
model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=50,
        frozen_stages=4,  # the whole backbone
        norm_eval=True,
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
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=weight_decay))
param_scheduler = [dict(type='MultiStepLR', milestones=[60, 80], gamma=0.1)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
auto_scale_lr = dict(base_batch_size=batch_size)
