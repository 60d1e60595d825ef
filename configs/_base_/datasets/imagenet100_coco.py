# ImageNet-100 and COCO train2017 concatenated, 126,689 + 118,287 images; labels are not used.
# data/imagenet/imagenet100.txt lists the folders of 100 classes, one a line; the supplement does
# not say which (our choice: CMC's).
_base_ = './loaders.py'
image_size = 224
parts = [
    dict(
        type='mssl_plugins.ImageFolder',
        data_root='data/imagenet/train',
        classes='data/imagenet/imagenet100.txt',
    ),
    dict(type='mssl_plugins.ImageFolder', data_root='data/coco/train2017', labels=False),
]

train_dataloader = dict(
    num_workers=12,
    dataset=dict(type='ConcatDataset', ignore_keys=['classes'], datasets=parts),
)
