# Labeled images at 32 px: CIFAR-10, or whatever lies in data_root (mssl_plugins.LabelledImages).
# CIFAR-100: data_root='data/cifar100' and 100 classes.
image_size, num_classes = 32, 10
data_preprocessor = dict(
    num_classes=num_classes, mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]
)

crop = dict(type='mmpretrain.RandomCrop', crop_size=image_size, padding=4)
flip = dict(type='mmpretrain.RandomFlip', prob=0.5, direction='horizontal')
pack = dict(type='mmpretrain.PackInputs')
test_pipeline = [
    dict(
        type='mmpretrain.ResizeEdge',
        scale=image_size,
        edge='short',
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='mmpretrain.CenterCrop', crop_size=image_size),
    pack,
]
train_set = dict(type='mssl_plugins.LabelledImages', data_root='data/cifar10', split='train')
test_set = dict(type='mssl_plugins.LabelledImages', data_root='data/cifar10', split='val')

loader = dict(num_workers=8, persistent_workers=True, collate_fn=dict(type='default_collate'))
train_dataloader = dict(
    pin_memory=True,
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(pipeline=[crop, flip, pack], **train_set),
    **loader,
)
val_dataloader = dict(
    batch_size=128,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(pipeline=test_pipeline, **test_set),
    **loader,
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mmpretrain.Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
val_cfg = dict()
test_cfg = dict()
