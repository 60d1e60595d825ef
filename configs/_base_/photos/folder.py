# Somebody's own images: `--data FOLDER` names them, `--size PX` the views.
# Length, batch, rate and queue are fitted to the folder and the machine (mssl_plugins/recipes.py).
image_size = 224
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size, resize=256),
    dict(type='mssl_plugins.PackViews'),
]
train_dataloader = dict(
    batch_size=256,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(type='mssl_plugins.ImageFolder', data_root='path/to/images', labels=False),
)
