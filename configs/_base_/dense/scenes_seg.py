# Generated scenes with label maps at 64 px: python tools/dense_data.py seg data/scenes-seg
_base_ = './own_masks.py'
data_root, scale = 'data/scenes-seg', (64, 64)
classes = ['background', 'airplane', 'anchor', 'umbrella', 'telephone']
# nine of ten pixels are background
weights = dict(class_weight=[0.1] + [1.0] * (len(classes) - 1))
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
