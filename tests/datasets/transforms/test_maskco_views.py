"""MaskCo's boxes over random views: both lead back to the same region."""

import numpy as np
import pytest
from mmengine.dataset import default_collate

from helpers.maskco import build
from mssl_plugins.datasets.transforms import views as views_module
from mssl_plugins.datasets.transforms.geometry import boxes_to_image
from mssl_plugins.datasets.transforms.maskco_views import MaskCoViews
from mssl_plugins.datasets.transforms.pack import PackViews
from mssl_plugins.registry import TRANSFORMS

PAIRS = 3400  # for each of three settings


@pytest.mark.parametrize(
    'settings',
    [
        dict(views=[dict(num=2, size=224)], images=(120, 900)),
        dict(
            views=[dict(size=96), dict(size=160, scale=(0.08, 0.5), flip=1.0)],
            images=(60, 200),
            overlap=0.0,
            min_cells=1,
        ),
        dict(views=[dict(num=2, size=32, crop='pad', padding=4)], images=(32, 33), stride=4),
    ],
)
def test_both_views_lead_back_to_the_same_region(settings, monkeypatch):
    """Over 10,000 pairs of random views in all, flips and images of every shape."""
    monkeypatch.setattr(views_module.ViewGroup, 'render', lambda *args: None)
    images = settings.pop('images')
    transform = MaskCoViews(**settings)
    sizes = [group.size for group in transform.groups]
    least = transform.query_sampler.least
    rng = np.random.default_rng(0)
    flips, shared, distance = set(), 0, 0.0
    for _ in range(PAIRS):
        h, w = rng.integers(*images, size=2)
        out = transform(dict(img=np.broadcast_to(np.uint8(0), (h, w, 3)), rng=rng))
        masked, boxes = out['masked_box'], out['key_boxes']
        crops, flip = out['view_boxes'], out['view_flips']
        flips.add(tuple(flip.tolist()))
        shared += (crops[0] == crops[1]).all()
        sides = [
            boxes_to_image(b[None], crops[i], flip[i], sizes[i])[0]
            for i, b in ((0, masked), (1, boxes[0]))
        ]
        distance = max(distance, np.abs(sides[0] - sides[1]).max())
        assert boxes.shape == (17, 4)
        assert (
            (boxes >= 0).all() and (boxes <= sizes[1]).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        )
        # the limits, exactly, of the masked box and of the negatives
        for box, size in [(masked, sizes[0])] + [(b, sizes[1]) for b in boxes[1:]]:
            assert (box == box.round()).all() and (box >= 0).all() and (box <= size).all()
            bw, bh = box[2:] - box[:2]
            assert 0.1 * size**2 <= bw * bh <= 0.4 * size**2
            assert 0.5 <= bw / bh <= 2 and min(bw, bh) >= least
    assert distance < 1e-4
    assert len(flips) == (2 if len(settings['views']) == 2 else 4)
    assert shared < 0.3 * PAIRS  # mostly two crops of their own


def test_region_is_the_same_pixels():
    """The masked region of the image itself, painted, shows up under both boxes."""
    transform = MaskCoViews([dict(num=2, size=64, scale=(0.3, 1.0))], stride=8)
    plain = np.zeros((200, 240, 3), np.uint8)
    seen = 0
    for seed in range(40):
        out = transform(dict(img=plain, rng=np.random.default_rng(seed)))
        region = boxes_to_image(
            out['masked_box'][None], out['view_boxes'][0], out['view_flips'][0], 64
        )[0]
        x0, y0, x1, y1 = region.round().astype(int)
        painted = plain.copy()
        painted[y0:y1, x0:x1] = 255
        again = transform(dict(img=painted, rng=np.random.default_rng(seed)))  # the same draws
        for view, box in zip(again['img'], (again['masked_box'], again['key_boxes'][0])):
            ys, xs = np.nonzero(view[..., 0] > 127)
            found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            scale = 64 / (again['view_boxes'][:, 2:] - again['view_boxes'][:, :2]).min()
            assert np.abs(found - box).max() <= 1 + 0.5 * scale
            seen += 1
    assert seen == 80


def test_too_far_apart_takes_the_same_crop():
    tiny = dict(num=2, size=64, scale=(0.01, 0.01))
    far = MaskCoViews([tiny], stride=8, overlap=1.0)
    out = far(dict(img=np.zeros((400, 400, 3), np.uint8), rng=np.random.default_rng(0)))
    assert (out['view_boxes'][0] == out['view_boxes'][1]).all()
    crops = []
    original = views_module.Views.draw_boxes
    near = MaskCoViews([tiny], stride=8, overlap=1.0, tries=3)
    try:
        views_module.Views.draw_boxes = lambda *args: crops.append(original(*args)) or crops[-1]
        near(dict(img=np.zeros((400, 400, 3), np.uint8), rng=np.random.default_rng(1)))
    finally:
        views_module.Views.draw_boxes = original
    assert len(crops) == 3


def test_packed_and_collated():
    pipeline = [
        TRANSFORMS.build(
            dict(type='mssl_plugins.MaskCoViews', views=[dict(num=2, size=64)], stride=16)
        ),
        PackViews(keys=('masked_box', 'key_boxes')),
    ]
    samples = []
    for seed in range(3):
        results = dict(img=np.full((80, 90, 3), seed, np.uint8), rng=np.random.default_rng(seed))
        for step in pipeline:
            results = step(results)
        samples.append(results)
    data = default_collate(samples)
    assert [tuple(v.shape) for v in data['inputs']] == [(3, 3, 64, 64)] * 2
    model = build()
    masked, keys = model.boxes(data['data_samples'], data['inputs'][0].float())
    assert masked.shape == (3, 4) and keys.shape == (3, 17, 4)


def test_views_are_a_function_of_seed_epoch_and_index():
    from mssl_plugins.datasets.sampler import SampleIndex

    transform = MaskCoViews([dict(num=2, size=64)], stride=16)
    img = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)

    def run(epoch):
        return transform(dict(img=img, sample_idx=SampleIndex(3, seed=1, epoch=epoch)))

    a, b, c = run(0), run(0), run(1)
    assert (a['key_boxes'] == b['key_boxes']).all() and (a['img'][0] == b['img'][0]).all()
    assert (a['key_boxes'] != c['key_boxes']).any()


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(views=[dict(num=3, size=224)]), '2 views'),
        (dict(overlap=2), 'overlap'),
        (dict(area=(0.4, 0.1)), 'area'),
        (dict(aspect=(0, 1)), 'aspect'),
        (dict(tries=0), 'tries'),
        (dict(stride=64, min_cells=3), 'smaller stride'),
        (dict(num_boxes=0), 'num_boxes'),
    ],
)
def test_wrong_view_arguments(kwargs, words):
    with pytest.raises(ValueError, match=words):
        MaskCoViews(**{**dict(views=[dict(num=2, size=224)]), **kwargs})
