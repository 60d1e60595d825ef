# Every 10th class of Tiny-ImageNet, 64 px, packed into data/tiny_imagenet_20c_{train,val}.npz;
# the environment variable MSSL_DATA names another folder.
image_size, num_classes = 64, 20
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size),
    dict(type='mssl_plugins.PackViews'),
]
packed = dict(type='mssl_plugins.PackedImages', data_root='{{$MSSL_DATA:data}}')
train_set = dict(ann_file='tiny_imagenet_20c_train.npz', **packed)
test_set = dict(ann_file='tiny_imagenet_20c_val.npz', **packed)

loader = dict(num_workers=4, persistent_workers=True, collate_fn=dict(type='default_collate'))
test_loader = dict(batch_size=500, sampler=dict(type='DefaultSampler', shuffle=False), **loader)
train_dataloader = dict(
    pin_memory=True,
    drop_last=True,
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=train_set,
    **loader,
)
# k-NN while training: the train set with the test transform is the bank
knn = dict(
    type='mssl_plugins.KNNHook',
    interval=10,
    k=20,
    temperature=0.1,
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set), **test_loader),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set), **test_loader),
)
