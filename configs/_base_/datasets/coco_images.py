# COCO train2017, 118,287 images below data/coco/train2017, no labels used.
train_dataloader = dict(
    num_workers=12,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(type='mssl_plugins.ImageFolder', data_root='data/coco/train2017', labels=False),
)
