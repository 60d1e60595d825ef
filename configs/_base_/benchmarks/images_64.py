# Labeled images at 64 px: Tiny-ImageNet, or whatever lies in data_root (mssl_plugins.LabelledImages).
_base_ = 'images_32.py'
image_size, num_classes = 64, 200
data_preprocessor = dict(num_classes=num_classes)

crop = dict(type='mmpretrain.RandomCrop', crop_size=image_size, padding=8)  # an eighth, as at 32 px
test_pipeline = [
    dict(
        type='mmpretrain.ResizeEdge',
        scale=image_size,
        edge='short',
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='mmpretrain.CenterCrop', crop_size=image_size),
    _base_.pack,
]
data_root = 'data/tiny-imagenet-200'
train_set = dict(data_root=data_root)
test_set = dict(data_root=data_root)
train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=[crop, _base_.flip, _base_.pack])
)
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
