# OpenImages V4, training images below data/openimages/train, no labels used.
image_size = 224

train_dataloader = dict(
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(type='mssl_plugins.ImageFolder', data_root='data/openimages/train', labels=False),
)
