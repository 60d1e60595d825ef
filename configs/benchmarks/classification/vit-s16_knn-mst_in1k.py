# Weighted k-NN, ViT-S/16, ImageNet-1K; measured before the first of 0 epochs
# Command: python tools/train.py configs/benchmarks/classification/vit-s16_knn-mst_in1k.py
#          --cfg-options model.backbone.init_cfg.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/benchmarks/knn_mst.py',
    '../../_base_/benchmarks/backbone_vits16.py',
    '../../_base_/benchmarks/images_224.py',
    '../../_base_/runtime.py',
]
catalogue = dict(
    method='knn',
    base='vits16',
    data='imagenet',
    epochs=0,
    paper='MST (arXiv 2106.05656), supplement section 4 and Table 1',
    expected='75.0 / 74.8 / 72.9 / 71.8 at k = 10 / 20 / 100 / 200 after 300 epochs '
    '(reported by the paper)',
    cost='not run here',
)

model = dict(
    backbone=_base_.backbone, head=dict(num_classes=_base_.num_classes, in_channels=_base_.channels)
)
part = dict(batch_size=128, num_workers=8)
train_dataloader = dict(batch_size=128)
default_hooks = dict(
    knn=dict(
        type='mssl_plugins.KNNHook',
        begin=0,
        k=_base_.ks,
        temperature=_base_.temperature,
        pool='cls',
        bank=dict(part, dataset=dict(_base_.train_set, pipeline=_base_.test_pipeline)),
        test=dict(part, dataset=dict(_base_.test_set, pipeline=_base_.test_pipeline)),
    )
)
