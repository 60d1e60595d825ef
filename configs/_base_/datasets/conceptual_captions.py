# Conceptual Captions, training images (3.3 million links, fewer as years pass), no captions used:
# data/conceptual_captions/train.txt lists what was downloaded, one path below images/ a line.
_base_ = './loaders.py'
train_dataloader = dict(
    num_workers=12,
    dataset=dict(
        type='mssl_plugins.ImageFolder',
        data_root='data/conceptual_captions',
        data_prefix='images',
        list_file='train.txt',
        labels=False,
    ),
)
