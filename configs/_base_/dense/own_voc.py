# A folder of one's own in VOC's layout: OWN_DATA names it, OWN_CLASSES its classes with commas.
#   OWN_DATA/JPEGImages/*.jpg  OWN_DATA/Annotations/*.xml  OWN_DATA/ImageSets/Main/{train,val}.txt
data_root = '{{$OWN_DATA:data/own-voc}}'
names = "{{$OWN_CLASSES:first,second}}".split(',')  # fmt: skip  # a name may have an apostrophe
classes = [name.strip() for name in names if name.strip()]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, side) for side in range(480, 801, 32)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='FilterAnnotations', min_gt_bbox_wh=(1.0, 1.0)
    ),  # a box of no size has no finite loss
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]
own = dict(
    type='XMLDataset',
    data_root=data_root,
    data_prefix=dict(sub_data_root=''),
    metainfo=dict(classes=classes),
)
loader = dict(num_workers=2, persistent_workers=True, collate_fn=dict(type='pseudo_collate'))
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        own,
        ann_file='ImageSets/Main/train.txt',
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
    **loader,
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(own, ann_file='ImageSets/Main/val.txt', test_mode=True, pipeline=test_pipeline),
    **loader,
)
test_dataloader = val_dataloader
val_evaluator = [
    dict(
        type='VOCMetric',
        metric='mAP',
        eval_mode='area',
        iou_thrs=[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
    ),
    dict(type='CocoMetric', metric='bbox'),
]
test_evaluator = val_evaluator
