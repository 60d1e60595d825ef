# Embedded scenes with label maps: UperNet with a small ViT
# Command: python tools/dense_data.py seg data/scenes-seg
#          python tools/train.py configs/benchmarks/segmentation/upernet_vit-mini_1xb4-200i_scenes-seg.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/upernet_small.py',
    '../../_base_/dense/own_masks.py',
    '../../_base_/dense/runtime_mmseg.py',
]
catalogue = dict(
    method='segmentation',
    base='upernet',
    data='scenes',
    epochs=2,
    iterations=200,
    paper='none; the segmentor of upernet_vit-b16_8xb2-100e_ade20k, shrunk: our choice',
    expected='docs/evidence.md',
    cost='minutes on 1 CPU core',
)

data_root, scale = 'data/scenes-seg', (64, 64)
classes = ['background', 'airplane', 'anchor', 'umbrella', 'telephone']
# nine of ten pixels are background
weights = dict(class_weight=[0.1] + [1.0] * (len(classes) - 1))
model = dict(
    decode_head=dict(num_classes=len(classes), loss_decode=weights),
    auxiliary_head=dict(num_classes=len(classes), loss_decode=weights),
)
train_pipeline = [  # a glyph mirrored may be another glyph: no flip
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
own = dict(data_root=data_root, metainfo=dict(classes=classes))
loader = dict(num_workers=1)
train_dataloader = dict(
    loader,
    batch_size=4,
    sampler=dict(type='InfiniteSampler'),
    dataset=dict(own, pipeline=train_pipeline),
)
val_dataloader = dict(loader, dataset=dict(own, pipeline=test_pipeline))
test_dataloader = val_dataloader
log_processor = dict(by_epoch=False)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False, interval=20),
    checkpoint=dict(by_epoch=False, interval=200),
)
