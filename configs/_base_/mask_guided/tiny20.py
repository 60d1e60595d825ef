# Tiny-ImageNet (20 classes) at a size for one CPU core: 64 px images and segments, 32 px views.
_base_ = '../datasets/tiny_imagenet_20c.py'
load = dict(type='mssl_plugins.LoadSegments', segments='data/segments/tiny_imagenet_20c')
load_test = dict(type='mssl_plugins.LoadSegments', segments='data/segments/tiny_imagenet_20c_val')
test_pipeline = [
    dict(type='mssl_plugins.CenterView', size=32),
    dict(type='mssl_plugins.PackViews'),
]
images, queries = range(0, 10000, 2), range(0, 1000)  # sorted by class
cpu_loader = dict(batch_size=500, num_workers=0, persistent_workers=False)
cpu_knn = dict(
    _base_.knn,
    k=20,
    bank=dict(
        _base_.knn.bank,
        dataset=dict(_base_.knn.bank.dataset, indices=images, pipeline=test_pipeline),
        **cpu_loader,
    ),
    test=dict(
        _base_.knn.test,
        dataset=dict(_base_.knn.test.dataset, indices=queries, pipeline=test_pipeline),
        **cpu_loader,
    ),
)
# f takes the image and its segments
segment_knn = dict(
    cpu_knn,
    bank=dict(
        cpu_knn['bank'],
        dataset=dict(cpu_knn['bank']['dataset'], pipeline=[load, *test_pipeline]),
    ),
    test=dict(
        cpu_knn['test'],
        dataset=dict(cpu_knn['test']['dataset'], pipeline=[load_test, *test_pipeline]),
    ),
)
