# Conceptual Captions, training images (3.3 million links, fewer as years pass), no captions used:
# data/conceptual_captions/train.txt lists what was downloaded, one path below images/ a line.
train_dataloader = dict(
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(
        type='mssl_plugins.ImageFolder',
        data_root='data/conceptual_captions',
        data_prefix='images',
        list_file='train.txt',
        labels=False,
    ),
)
