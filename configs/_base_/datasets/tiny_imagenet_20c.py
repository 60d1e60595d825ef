# Every 10th class of Tiny-ImageNet, 64 px, packed into data/tiny_imagenet_20c_{train,val}.npz;
# the environment variable MSSL_DATA names another folder.
_base_ = './loaders.py'
image_size, num_classes = 64, 20
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=image_size),
    dict(type='mssl_plugins.PackViews'),
]
packed = dict(type='mssl_plugins.PackedImages', data_root='{{$MSSL_DATA:data}}')
train_set = dict(ann_file='tiny_imagenet_20c_train.npz', **packed)
test_set = dict(ann_file='tiny_imagenet_20c_val.npz', **packed)

test_loader = dict(batch_size=500)
train_dataloader = dict(dataset=train_set)
knn = dict(
    interval=10,
    k=20,
    bank=dict(dataset=dict(pipeline=test_pipeline, **train_set), **test_loader),
    test=dict(dataset=dict(pipeline=test_pipeline, **test_set), **test_loader),
)
