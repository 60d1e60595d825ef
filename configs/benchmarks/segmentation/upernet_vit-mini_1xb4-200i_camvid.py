# CamVid street scenes (120 + 60 images): UperNet with a small ViT
# Command: python tools/dense_data.py camvid data/camvid
#          python tools/train.py configs/benchmarks/segmentation/upernet_vit-mini_1xb4-200i_camvid.py
#          --cfg-options default_hooks.backbone.checkpoint=CHECKPOINT
_base_ = [
    '../../_base_/dense/upernet_small.py',
    '../../_base_/dense/scenes_seg.py',
    '../../_base_/dense/runtime_mmseg_iters.py',
]
catalogue = dict(
    method='segmentation',
    base='upernet',
    data='camvid',
    epochs=7,
    iterations=200,
    paper='none; the segmentor of upernet_vit-b16_8xb2-100e_ade20k, shrunk: our choice',
    expected='docs/evidence.md',
    cost='minutes on 1 CPU core',
)

data_root, scale, crop = 'data/camvid', (160, 120), (64, 64)
# the value 11, unlabeled, is left out
classes = [
    'sky',
    'building',
    'pole',
    'road',
    'pavement',
    'tree',
    'sign',
    'fence',
    'car',
    'pedestrian',
    'bicyclist',
]
unlabeled = 11
model = dict(
    data_preprocessor=dict(seg_pad_val=unlabeled),
    decode_head=dict(num_classes=len(classes), ignore_index=unlabeled),
    auxiliary_head=dict(num_classes=len(classes), ignore_index=unlabeled),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=scale, ratio_range=(0.8, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop, ignore_index=unlabeled),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
own = dict(data_root=data_root, metainfo=dict(classes=classes))
# the rest of the loaders is that of the scenes
train_dataloader = dict(dataset=dict(own, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(own, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ignore_index=unlabeled)
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=200))
