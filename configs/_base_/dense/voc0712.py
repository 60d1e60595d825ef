# PASCAL VOC, trainval07+12 / test07, under data/VOCdevkit. Sizes are MoCo's: short side 480-800 in
# training, 800 in testing, long side at most 1333.
data_root = 'data/VOCdevkit/'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, side) for side in range(480, 801, 32)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
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
loader = dict(num_workers=4, persistent_workers=True, collate_fn=dict(type='pseudo_collate'))
year = dict(type='VOCDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=2,  # a process, 8 of them
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type='ConcatDataset',
        ignore_keys=['dataset_type'],
        datasets=[
            dict(
                year,
                ann_file=f'VOC{y}/ImageSets/Main/trainval.txt',
                data_prefix=dict(sub_data_root=f'VOC{y}/'),
                filter_cfg=dict(filter_empty_gt=True),
                pipeline=train_pipeline,
            )
            for y in (2007, 2012)
        ],
    ),
    **loader,
)
val_dataloader = dict(
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        year,
        ann_file='VOC2007/ImageSets/Main/test.txt',
        data_prefix=dict(sub_data_root='VOC2007/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
    **loader,
)
test_dataloader = val_dataloader
# VOC2007's own measure at each IoU (AP50 ... AP95) and their mean (mAP), as Detectron2 prints AP,
# AP50 and AP75; beside it COCO's, by pycocotools.
val_evaluator = [
    dict(
        type='VOCMetric',
        metric='mAP',
        eval_mode='11points',
        iou_thrs=[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95],
    ),
    dict(type='CocoMetric', metric='bbox'),
]
test_evaluator = val_evaluator
