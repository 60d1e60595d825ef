"""Views of whole batches against those of single images: distributions over 20,000 draws, pixels
at equal parameters, geometry against its own record."""

import colorsys
import itertools

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from scipy.stats import chisquare, kstest
from skimage import data

from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.datasets.transforms import (
    batch_color,
    batch_geometry,
    batch_views,
    photometric,
)
from mssl_plugins.datasets.transforms.batch_color import augment, blur_kernels, draw
from mssl_plugins.datasets.transforms.batch_geometry import random_resized_crops
from mssl_plugins.datasets.transforms.batch_views import BatchViews
from mssl_plugins.datasets.transforms.geometry import random_resized_crop, segments_to_view
from mssl_plugins.datasets.transforms.pack import PackViews
from mssl_plugins.datasets.transforms.photometric import Photometric, blur_kernel
from mssl_plugins.datasets.transforms.views import ViewGroup, Views
from mssl_plugins.models.preprocessor import ViewPreprocessor

DRAWS = 20_000
JITTER = dict(brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1, p=0.8)
LIGHT = dict(
    jitter=JITTER, gray=0.2, blur=dict(p=0.5, sigma=(0.1, 2.0)), solarize=dict(p=0.3, threshold=100)
)


@pytest.fixture(scope='module')
def photos():
    """(8, 48, 40, 3) uint8, crops of photos."""
    rng, images = np.random.default_rng(0), []
    for source in (data.coffee(), data.astronaut(), data.chelsea(), data.rocket()) * 2:
        y, x = rng.integers(100, size=2)
        images.append(source[y : y + 144 : 3, x : x + 120 : 3])
    return np.stack(images)


def planes(images) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def levels(ours: torch.Tensor, theirs: np.ndarray):
    """Mean and largest difference in levels of 255."""
    away = (ours - planes(theirs).float()).abs()
    return away.mean().item(), away.max().item()


# -------------------------------------------------------------- distributions
@pytest.mark.parametrize(
    'height, width, scale, ratio',
    [
        (32, 32, (0.2, 1.0), (3 / 4, 4 / 3)),
        (96, 64, (0.08, 1.0), (3 / 4, 4 / 3)),
        (16, 160, (0.5, 1.0), (3 / 4, 4 / 3)),  # mostly the fallback
        (160, 16, (0.5, 1.0), (3 / 4, 4 / 3)),
    ],
)
def test_crops(height, width, scale, ratio):
    ours = random_resized_crops(np.random.default_rng(0), DRAWS, height, width, scale, ratio)
    rng = np.random.default_rng(1)
    single = [random_resized_crop(rng, height, width, scale, ratio) for _ in range(DRAWS)]
    for a, b in zip(ours.T, np.array(single).T):
        assert kstest(a, b).pvalue > 1e-4
    area = lambda box: (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])  # noqa: E731
    assert kstest(area(ours), area(np.array(single))).pvalue > 1e-4
    assert ours.min() >= 0 and ours[:, 2].max() <= width and ours[:, 3].max() <= height


def test_padded_crops_and_flips():
    views = BatchViews([dict(size=32, crop='pad', padding=4, flip=0.3)])
    boxes, flips = views.draw_geometry(np.random.default_rng(0), DRAWS, 32, 40)
    for axis, places in ((0, range(-4, 13)), (1, range(-4, 5))):
        counts = [(boxes[0, :, axis] == place).sum() for place in places]
        assert sum(counts) == DRAWS and chisquare(counts).pvalue > 1e-4
    assert (boxes[0, :, 2:] - boxes[0, :, :2] == 32).all()
    assert abs(flips.mean() - 0.3) < 4 * (0.21 / DRAWS) ** 0.5


def test_color():
    settings = Photometric(**LIGHT)
    ours = draw(settings, np.random.default_rng(0), DRAWS)
    rng = np.random.default_rng(1)
    single = [settings.draw(rng) for _ in range(DRAWS)]
    names = ('adjust_brightness', 'adjust_contrast', 'adjust_saturation', 'adjust_hue')
    for i, name in enumerate(names):
        theirs = [args[0] for ops in single for op, args in ops if op.__name__ == name]
        assert abs(ours.jitter.sum() - len(theirs)) < 5 * DRAWS**0.5
        assert kstest(ours.factors[ours.jitter, i], theirs).pvalue > 1e-4
    orders = np.unique(ours.order @ [64, 16, 4, 1], return_counts=True)[1]
    assert len(orders) == 24 and chisquare(orders).pvalue > 1e-4
    for mask, name in ((ours.gray, 'gray'), (ours.blur, 'blur'), (ours.solarize, 'solarize')):
        count = sum(op.__name__ == name for ops in single for op, _ in ops)
        assert abs(mask.sum() - count) < 5 * DRAWS**0.5
    sigma = [args[0] for ops in single for op, args in ops if op.__name__ == 'blur']
    assert kstest(ours.sigma[ours.blur], sigma).pvalue > 1e-4


# --------------------------------------------------------------------- pixels
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('size', [16, 40, 64, (24, 56)])
@pytest.mark.parametrize('flip', [0.0, 1.0])
def test_crops_are_those_of_single_images(photos, interpolation, size, flip):
    group = dict(size=size, scale=(0.3, 0.9), interpolation=interpolation, flip=flip)
    samples = [dict(sample_idx=SampleIndex(i, 5, 2)) for i in range(len(photos))]
    packed = [
        PackViews()(dict(sample, img=image))['data_samples']
        for sample, image in zip(samples, photos)
    ]
    (ours,) = BatchViews([group])(planes(photos), packed)
    one, rng = ViewGroup(**group), np.random.default_rng(0)
    theirs = [
        one.render(image, sample.view_boxes[0].long().tolist(), bool(sample.view_flips[0]), rng)
        for image, sample in zip(photos, packed)
    ]
    mean, most = levels(ours, np.stack(theirs))
    # torch clips the cubic's overshoot after the first axis already
    assert mean < 0.5 and most <= (2.5 if interpolation == 'bilinear' else 8)


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_kept_matrices_are_those_of_the_formula(interpolation, monkeypatch):
    """Of all crops of a short axis."""
    start, end = np.triu_indices(13, 1)
    crops = torch.from_numpy(start), torch.from_numpy(end), torch.arange(len(start)) % 3 > 0
    for flip in (crops[2], None):
        given = (*crops[:2], flip, 12, 9, interpolation, 'random_resized')
        kept = batch_geometry.resampling(*given)
        with monkeypatch.context() as patch:
            patch.setattr(batch_geometry, 'TABLE', 0)
            assert kept.equal(batch_geometry.resampling(*given))


def test_padded_crops_are_those_of_single_images(photos):
    group = dict(size=(40, 44), crop='pad', padding=6, flip=0.5)
    packed = [PackViews()(dict(img=image))['data_samples'] for image in photos]
    (ours,) = BatchViews([group])(planes(photos), packed)
    one, rng = ViewGroup(**group), np.random.default_rng(0)
    theirs = [
        one.render(image, sample.view_boxes[0].long().tolist(), bool(sample.view_flips[0]), rng)
        for image, sample in zip(photos, packed)
    ]
    assert levels(ours, np.stack(theirs)) == (0, 0)


def operation(views, place, factor):
    """One operation of the jitter, by one factor for all views."""
    factors = np.full(len(views), factor)
    if place == batch_color.HUE:
        turns = torch.from_numpy(batch_color.turns_of(factors)).to(views)
        return batch_color.turn_hue(views, turns[:, None, None, None])
    weights = batch_color.blend_weights(np.full(len(views), place), factors)
    return batch_color.blend(views, torch.from_numpy(weights).to(views)[..., None, None, None])


@pytest.mark.parametrize(
    'place, name, factors, bound',
    [
        (0, 'adjust_brightness', (0.0, 0.6, 1.0, 1.4), 1.01),
        (1, 'adjust_contrast', (0.0, 0.6, 1.0, 1.4), 2.01),
        (2, 'adjust_saturation', (0.0, 0.6, 1.0, 1.4), 2.01),
        # OpenCV keeps hue, saturation and value in whole levels
        (3, 'adjust_hue', (-0.5, -0.1, 0.0, 0.07, 0.5), 9),
    ],
)
def test_color_is_that_of_single_images(photos, place, name, factors, bound):
    for factor in factors:
        ours = operation(planes(photos).float(), place, factor)
        theirs = np.stack([getattr(photometric, name)(image, factor) for image in photos])
        mean, most = levels(ours, theirs)
        assert mean < 1 and most <= bound, (factor, mean, most)


def test_hue_is_that_of_colorsys():
    """Of all ties, grays and primary colors, which branches of the formula meet."""
    levels = [0, 1, 127, 128, 254, 255]
    colors = np.array([*itertools.product(levels, repeat=3)], float)
    for factor in (-0.5, -0.1, 0.0, 0.07, 0.5):
        turn = int(factor * 255) / 256
        want = []
        for color in colors / 255:
            h, s, v = colorsys.rgb_to_hsv(*color)
            want.append(colorsys.hsv_to_rgb((h + turn) % 1, s, v))
        views = torch.from_numpy(colors.T.copy()).view(1, 3, 6, 36)
        found = operation(views, batch_color.HUE, factor).view(3, -1).T / 255
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize('sigma', [0.0, 0.1, 0.8, 1.3, 2.0])
def test_blur_is_that_of_single_images(photos, sigma):
    kernel, one = blur_kernels(np.array([sigma, 2.0]))[0], blur_kernel(sigma)
    cut = (len(kernel) - len(one)) // 2
    middle = kernel[cut : len(kernel) - cut]
    assert kernel.sum() == pytest.approx(1) and middle == pytest.approx(one, abs=2e-3)
    settings = Photometric(blur=dict(p=1.0, sigma=(sigma, sigma)))
    drawn = draw(settings, np.random.default_rng(0), len(photos))
    ours = augment(planes(photos).float(), drawn, settings)
    mean, most = levels(ours, np.stack([photometric.blur(image, sigma) for image in photos]))
    assert mean < 0.6 and most <= 2


def test_gray_and_solarize_are_those_of_single_images(photos):
    gray = Photometric(gray=1.0)
    ours = augment(planes(photos).float(), draw(gray, np.random.default_rng(0), 8), gray)
    mean, most = levels(ours, np.stack([photometric.gray(image) for image in photos]))
    assert mean < 0.5 and most <= 1
    solar = Photometric(solarize=dict(p=1.0, threshold=100))
    ours = augment(planes(photos).float(), draw(solar, np.random.default_rng(0), 8), solar)
    theirs = np.stack([photometric.solarize(image, 100) for image in photos])
    assert levels(ours, theirs) == (0, 0)


def test_only_drawn_views_change_and_each_operation_keeps_its_order(photos):
    """Every view of a batch equals the same operations by loops."""
    settings = Photometric(**LIGHT)
    drawn = draw(settings, np.random.default_rng(3), len(photos))
    images = planes(photos)[:, :, :40].float()
    ours = augment(images.clone(), drawn, settings)
    for i, image in enumerate(images):
        want = image[None].clone()  # which the operations change
        if drawn.jitter[i]:
            for op in drawn.order[i]:
                want = operation(want, op, drawn.factors[i, op])
        if drawn.gray[i]:
            want = batch_color.luma(want).expand(-1, 3, -1, -1)
        if drawn.blur[i]:
            matrix = batch_color.blurring(drawn.sigma[i : i + 1], 40, 'cpu')[:, None]
            want = matrix @ want @ matrix.mT
        if drawn.solarize[i]:
            want = torch.where(want.round() < 100, want, 255 - want)
        assert torch.allclose(ours[i], want[0], atol=1e-3)
    changed = drawn.jitter | drawn.gray | drawn.blur | drawn.solarize
    assert ((ours != images).flatten(1).any(1).numpy() == changed).all() and not changed.all()


@pytest.mark.parametrize(
    'ranges',
    [dict(brightness=0.4), dict(hue=0.1), dict(contrast=0.4, saturation=0.4), JITTER],
)
@pytest.mark.parametrize('p', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('number', [1, 8])
def test_operations_that_are_not_used_change_nothing(photos, ranges, p, number):
    settings = Photometric(jitter=dict(ranges, p=p))
    used = [i for i, (_, pair) in enumerate(settings.ranges) if pair]
    drawn = draw(settings, np.random.default_rng(5), number)
    images = planes(photos)[:number].float()
    given = images.clone()
    ours = batch_color.jitter(given, drawn, used)
    assert torch.equal(given, images)
    for i, image in enumerate(images):
        want = image[None].clone()
        for op in drawn.order[i] if drawn.jitter[i] else ():
            want = operation(want, op, drawn.factors[i, op]) if op in used else want
        assert torch.allclose(ours[i], want[0], atol=1e-3)


def test_views_are_float32_under_autocast(photos):
    views = BatchViews([dict(num=2, size=32, **LIGHT)])
    drawn_alike = [dict(sample_idx=SampleIndex(i, 5, 2)) for i in range(len(photos))]
    samples = [PackViews()(dict(s, img=p))['data_samples'] for s, p in zip(drawn_alike, photos)]
    plain = views(planes(photos), samples)
    with torch.autocast('cpu', torch.bfloat16):
        mixed = views(planes(photos), samples)
    for ours, want in zip(mixed, plain):
        assert ours.dtype == torch.float32 and torch.equal(ours, want)


# ------------------------------------------------------------- in a pipeline
def batch(photos, **more):
    pack = PackViews(meta_keys=('sample_idx',), keys=tuple(more))
    return default_collate(
        [
            pack(
                dict(
                    img=image,
                    sample_idx=SampleIndex(i, 7, 1),
                    **{key: value[i] for key, value in more.items()},
                )
            )
            for i, image in enumerate(photos)
        ]
    )


GROUPS = [dict(num=2, size=32, **LIGHT), dict(num=1, size=16, scale=(0.1, 0.4))]


def test_a_batch_depends_on_seed_epoch_and_samples_only(photos):
    preprocess = ViewPreprocessor(views=GROUPS)
    first, second = (preprocess(batch(photos), training=True) for _ in range(2))
    assert [view.shape for view in first['inputs']] == [(8, 3, 32, 32)] * 2 + [(8, 3, 16, 16)]
    for one, other in zip(first['inputs'], second['inputs']):
        assert one.equal(other) and one.isfinite().all()
    other = preprocess(batch(photos[::-1]), training=True)
    assert not other['inputs'][0].equal(first['inputs'][0])


def test_parts_that_fit_the_cache_change_nothing(photos, monkeypatch):
    preprocess = ViewPreprocessor(views=GROUPS)
    whole = preprocess(batch(photos), training=True)['inputs']
    monkeypatch.setattr(batch_views, 'CACHED', 3 * photos[0].size)  # 3, 3 and 2 images
    assert [part.start for part in batch_views.pieces(planes(photos))] == [0, 3, 6]
    for one, other in zip(whole, preprocess(batch(photos), training=True)['inputs']):
        assert torch.allclose(one, other, atol=1e-4)


def test_normalized_as_views_of_the_loader(photos):
    plain = [dict(size=40, crop='pad', padding=0, flip=0.0)]
    images = photos[:, :40]
    made = ViewPreprocessor(views=plain)(batch(images), training=True)['inputs'][0]
    given = ViewPreprocessor()(dict(inputs=[planes(images)]), training=True)['inputs'][0]
    assert torch.allclose(made, given, atol=1e-6)


def test_boxes_and_segments_are_carried(photos):
    segments = np.random.default_rng(0).integers(5, size=(8, 48, 40)).astype(np.int32)
    boxes = np.tile(np.float32([[5, 5, 30, 40], [0, 0, 3, 3]]), (8, 1, 1))
    out = ViewPreprocessor(views=GROUPS)(
        batch(photos, segments=segments, gt_bboxes=boxes), training=True
    )
    for i, sample in enumerate(out['data_samples']):
        assert sample.view_boxes.shape == (3, 4) and sample.view_flips.shape == (3,)
        for v, size in enumerate((32, 32, 16)):
            want = segments_to_view(
                segments[i], sample.view_boxes[v].tolist(), bool(sample.view_flips[v]), size
            )
            assert (sample.view_segments[v].numpy() == want).all()
            assert sample.view_bboxes[v].shape[1] == 4
            assert len(sample.view_bboxes[v]) == len(sample.view_bbox_ids[v])


@pytest.mark.parametrize('views', [None, GROUPS])
def test_the_images_that_are_given_stay_as_they_are(photos, views):
    """Views that are made here are normalized in place; what a caller holds is not."""
    given = planes(photos).float()
    kept = given.clone()
    inputs = given if views else [given]
    for training in (True, False):
        ViewPreprocessor(views=views)(dict(inputs=inputs), training=training)
        assert given.equal(kept)


def test_only_while_training(photos):
    out = ViewPreprocessor(views=GROUPS)(batch(photos))
    assert out['inputs'].shape == (8, 3, 48, 40)


def test_views_twice_are_refused(photos):
    data = default_collate([PackViews()(Views(GROUPS)(dict(img=image))) for image in photos])
    with pytest.raises(
        TypeError, match='leave mssl_plugins.Views out of the pipeline, got 3 views'
    ):
        ViewPreprocessor(views=GROUPS)(data, training=True)


def test_wrong_groups():
    with pytest.raises(ValueError, match="needs 'size'"):
        ViewPreprocessor(views=[dict(num=2)])
    with pytest.raises(ValueError, match='at least 32 px'):
        BatchViews([dict(size=40, crop='pad')])(torch.zeros(2, 3, 30, 30, dtype=torch.uint8))
