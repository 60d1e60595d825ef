# Loaders of a set of images, and k-NN while training: the bank is the train set with the test
# transform.  A data set adds what is read.
loader = dict(num_workers=4, persistent_workers=True, collate_fn=dict(type='default_collate'))
test_loader = dict(batch_size=512, sampler=dict(type='DefaultSampler', shuffle=False), **loader)
train_dataloader = dict(
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    **loader,
)
knn = dict(
    type='mssl_plugins.KNNHook',
    interval=1,
    k=200,
    temperature=0.1,
    bank=test_loader,
    test=test_loader,
)
