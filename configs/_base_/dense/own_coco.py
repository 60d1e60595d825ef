# A folder of one's own in COCO's layout: OWN_DATA names it, OWN_CLASSES its classes with commas.
#   OWN_DATA/{train,val}/*  OWN_DATA/annotations/{train,val}.json
data_root = '{{$OWN_DATA:data/own-coco}}'
names = "{{$OWN_CLASSES:first,second}}".split(',')  # fmt: skip  # a name may have an apostrophe
classes = [name.strip() for name in names if name.strip()]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, side) for side in range(640, 801, 32)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
own = dict(type='CocoDataset', data_root=data_root, metainfo=dict(classes=classes))
loader = dict(num_workers=2, persistent_workers=True, collate_fn=dict(type='pseudo_collate'))
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        own,
        ann_file='annotations/train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
    **loader,
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        own,
        ann_file='annotations/val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
    **loader,
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='CocoMetric', ann_file=f'{data_root}/annotations/val.json', metric=['bbox', 'segm']
)
test_evaluator = val_evaluator
