# CIFAR-10 at a size for one CPU core, with its segments.
_base_ = '../datasets/cifar10.py'
load = dict(type='mssl_plugins.LoadSegments', segments='data/segments/cifar10')
load_test = dict(type='mssl_plugins.LoadSegments', segments='data/segments/cifar10_test')
# f takes the image and its segments
segment_knn = dict(
    _base_.cpu_knn,
    bank=dict(
        _base_.cpu_knn['bank'],
        dataset=dict(_base_.cpu_knn['bank']['dataset'], pipeline=[load, *_base_.test_pipeline]),
    ),
    test=dict(
        _base_.cpu_knn['test'],
        dataset=dict(
            _base_.cpu_knn['test']['dataset'], pipeline=[load_test, *_base_.test_pipeline]
        ),
    ),
)
