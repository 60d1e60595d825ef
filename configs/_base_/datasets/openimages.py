# OpenImages V4, training images below data/openimages/train, no labels used.
_base_ = './loaders.py'
image_size = 224

train_dataloader = dict(
    num_workers=12,
    dataset=dict(type='mssl_plugins.ImageFolder', data_root='data/openimages/train', labels=False),
)
