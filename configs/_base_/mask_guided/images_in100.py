# ImageNet-100 with its segments.
_base_ = '../datasets/imagenet100.py'
load = dict(type='mssl_plugins.LoadSegments', segments='data/segments/imagenet100')
load_test = dict(type='mssl_plugins.LoadSegments', segments='data/segments/imagenet100_val')
# f takes the image and its segments
segment_knn = dict(
    _base_.knn,
    bank=dict(
        _base_.knn.bank,
        dataset=dict(_base_.knn.bank.dataset, pipeline=[load, *_base_.test_pipeline]),
    ),
    test=dict(
        _base_.knn.test,
        dataset=dict(_base_.knn.test.dataset, pipeline=[load_test, *_base_.test_pipeline]),
    ),
)
