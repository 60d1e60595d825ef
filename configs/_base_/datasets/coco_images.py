# COCO train2017, 118,287 images below data/coco/train2017, no labels used.
_base_ = './loaders.py'
train_dataloader = dict(
    num_workers=12,
    dataset=dict(type='mssl_plugins.ImageFolder', data_root='data/coco/train2017', labels=False),
)
