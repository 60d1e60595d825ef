# Linear classifiers on conv1 ... conv5, ResNet-50, ImageNet-1K
# Command: python tools/train.py configs/benchmarks/classification/resnet50_8xb32-multilayer-maskco-steplr-90e_in1k.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/multilayer_maskco.py',
    '../../_base_/benchmarks/backbone_resnet50.py',
    '../../_base_/benchmarks/images_224.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='multilayer',
    base='resnet50',
    data='imagenet',
    epochs=90,
    paper='MaskCo (arXiv 2108.07954), supplement A.3 and Table 1',
    expected='15.4 / 33.6 / 45.8 / 59.6 / 65.1 (reported by the paper)',
    cost='not run here',
)

model = dict(
    backbone=_base_.backbone,
    head=dict(num_classes=_base_.num_classes, in_channels=[9216, 9216, 8192, 9216, 8192]),
)
train_dataloader = dict(
    batch_size=_base_.batch_size // 8,  # a process, 8 of them
    dataset=dict(
        pipeline=[
            dict(_base_.crop, interpolation='bilinear'),
            _base_.flip,
            _base_.jitter,
            _base_.lighting,
            _base_.pack,
        ]
    ),
)
resize, *cut_and_pack = _base_.test_pipeline
val_dataloader = dict(
    dataset=dict(pipeline=[dict(resize, interpolation='bilinear'), *cut_and_pack])
)
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='mssl_plugins.LayerAccuracy')
test_evaluator = val_evaluator
