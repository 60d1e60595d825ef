# A folder of one's own with label maps: OWN_DATA names it, OWN_CLASSES its classes with commas.
#   OWN_DATA/img/{train,val}/*.jpg  OWN_DATA/ann/{train,val}/*.png
# A pixel's value is the number of its class, counted from 0; 255 is left out.
data_root, crop = '{{$OWN_DATA:data/own-masks}}', (512, 512)
names = "{{$OWN_CLASSES:first,second}}".split(',')  # fmt: skip  # a name may have an apostrophe
classes = [name.strip() for name in names if name.strip()]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
own = dict(type='BaseSegDataset', data_root=data_root, metainfo=dict(classes=classes))
loader = dict(num_workers=2, persistent_workers=True, collate_fn=dict(type='pseudo_collate'))
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        own,
        data_prefix=dict(img_path='img/train', seg_map_path='ann/train'),
        pipeline=train_pipeline,
    ),
    **loader,
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        own,
        data_prefix=dict(img_path='img/val', seg_map_path='ann/val'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
    **loader,
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
