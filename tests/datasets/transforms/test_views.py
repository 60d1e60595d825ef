"""Views against torchvision on Pillow: distributions over 20,000 draws, pixels at
equal crops; geometry against plain loops."""

import copy
import math
import os
import pickle
import random
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.registry import TRANSFORMS as ROOT
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from PIL import Image
from scipy.stats import kstest
from skimage import data
from torchvision import transforms as T

from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.datasets.transforms.geometry import (
    boxes_to_image,
    boxes_to_view,
    random_resized_crop,
    resize,
    segments_to_view,
)
from mssl_plugins.datasets.transforms.pack import PackViews, chw_tensor
from mssl_plugins.datasets.transforms.views import CenterView, Views

DRAWS = 20000
JITTER = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)
TWO = [dict(num=2, size=64, jitter=JITTER, gray=0.2, blur=dict(p=0.5))]


@pytest.fixture(scope='module')
def photo():
    return np.array(Image.fromarray(data.coffee()).resize((250, 188), Image.BICUBIC))


# ------------------------------------------------------------- distributions
@pytest.mark.parametrize(
    'height, width, scale, ratio, draws',
    [
        (375, 500, (0.2, 1.0), (3 / 4, 4 / 3), DRAWS),
        (375, 500, (0.05, 0.4), (3 / 4, 4 / 3), 5000),
        (32, 32, (0.08, 1.0), (3 / 4, 4 / 3), 5000),
        (40, 400, (0.2, 1.0), (3 / 4, 4 / 3), 2000),  # the fallback, mostly
        (400, 40, (0.2, 1.0), (3 / 4, 4 / 3), 2000),
        (300, 200, (0.5, 0.9), (1.0, 1.0), 2000),
    ],
)
def test_law_of_crops(height, width, scale, ratio, draws):
    img = torch.empty(3, height, width)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    theirs = np.array(
        [T.RandomResizedCrop.get_params(img, list(scale), list(ratio)) for _ in range(draws)]
    )
    ours = np.array([random_resized_crop(rng, height, width, scale, ratio) for _ in range(draws)])
    x0, y0, x1, y1 = ours.T
    assert x0.min() >= 0 and y0.min() >= 0
    assert x1.max() <= width and y1.max() <= height
    top, left, h, w = theirs.T
    for a, b in (
        (x0, left),
        (y0, top),
        (x1 - x0, w),
        (y1 - y0, h),
        ((x1 - x0) * (y1 - y0), w * h),
        ((x1 - x0) / (y1 - y0), w / h),
    ):
        assert kstest(a, b).pvalue > 1e-4
        spread = max(np.std(b), 1e-6)
        for q in (0.01, 0.25, 0.5, 0.75, 0.99):
            assert abs(np.quantile(a, q) - np.quantile(b, q)) < 0.15 * spread + 1


def test_law_of_flips_and_padded_crops():
    views = Views([dict(size=32, crop='pad', padding=4, flip=0.5), dict(size=4, flip=0.3)])
    img = np.zeros((32, 32, 3), np.uint8)
    rng = np.random.default_rng(0)
    flips, boxes = [], []
    for _ in range(DRAWS):
        out = views(dict(img=img, rng=rng))
        flips.append(out['view_flips'])
        boxes.append(out['view_boxes'][0])
    for share, p in zip(np.mean(flips, 0), (0.5, 0.3)):
        assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / DRAWS)
    boxes = np.array(boxes)
    assert (boxes[:, 2:] - boxes[:, :2] == 32).all()
    for offset in boxes[:, :2].T:  # -4 ... 4, equally often
        values, counts = np.unique(offset, return_counts=True)
        assert values.tolist() == list(range(-4, 5))
        assert abs(counts / DRAWS - 1 / 9).max() < 0.012


# -------------------------------------------------------------------- pixels
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize(
    'box', [(0, 0, 250, 188), (20, 10, 170, 150), (100, 50, 140, 90), (3, 5, 99, 101)]
)
@pytest.mark.parametrize('flip', [0.0, 1.0])
def test_pixels_are_pillows(photo, interpolation, box, flip):
    views = Views([dict(size=96, interpolation=interpolation, flip=flip)])
    views.draw_boxes = lambda *_: np.array([box])
    ours = views(dict(img=photo))['img'][0]
    mode = dict(bilinear=Image.BILINEAR, bicubic=Image.BICUBIC)[interpolation]
    theirs = Image.fromarray(photo).crop(box).resize((96, 96), mode)
    theirs = np.array(theirs)[:, :: -1 if flip else 1].astype(int)
    off = np.abs(ours.astype(int) - theirs)
    assert off.mean() < 0.3 and off.max() <= 2
    assert ours.shape == (96, 96, 3) and ours.dtype == np.uint8


@pytest.mark.parametrize('size, padding, num', [(32, 4, 8), (8, 12, 200)])
def test_padded_crop_is_a_window_of_the_padded_image(photo, size, padding, num):
    """Also where the padding is wider than a view, which may lie in it as a whole."""
    img, p = photo[:32, :32], padding
    padded = np.pad(img, ((p, p), (p, p), (0, 0)))
    views = Views([dict(num=num, size=size, crop='pad', padding=p, flip=0.0)])
    out = views(dict(img=img, rng=np.random.default_rng(0)))
    for view, (x0, y0, _, _) in zip(out['img'], out['view_boxes'].astype(int)):
        assert (view == padded[y0 + p :, x0 + p :][:size, :size]).all()
    assert (min(view.max() for view in out['img']) == 0) == (padding > size)


@pytest.mark.parametrize('shape', [(188, 250), (250, 188), (33, 47)])
@pytest.mark.parametrize('size, short', [(24, None), (24, 27), (31, 33)])
def test_center_view_is_torchvisions(photo, shape, size, short):
    img = np.array(Image.fromarray(photo).resize(shape[::-1]))
    ours = CenterView(size, short)(dict(img=img))
    bicubic = T.InterpolationMode.BICUBIC
    chain = T.Compose([T.Resize(short or size, bicubic), T.CenterCrop(size)])
    theirs = chain(Image.fromarray(img))
    assert ours['img'].shape == (size, size, 3)
    assert np.array_equal(ours['img'], np.asarray(theirs))
    assert ours['view_boxes'].shape == (1, 4)
    x0, y0, x1, y1 = ours['view_boxes'][0]
    assert 0 <= x0 < x1 <= shape[1] + 1e-3 and 0 <= y0 < y1 <= shape[0] + 1e-3


@pytest.mark.parametrize('shape', [(40, 60), (60, 40), (150, 201), (90, 310)])
@pytest.mark.parametrize('size', [(64, 96), (96, 64), (30, 90)])
def test_center_view_that_is_not_square(photo, shape, size):
    """The middle of the image, resized until it just covers the view."""
    img = photo[: shape[0], : shape[1]]
    shape = img.shape[:2]
    out = CenterView(size)(dict(img=img))
    assert out['img'].shape == (*size, 3)
    x0, y0, x1, y1 = out['view_boxes'][0]
    assert x0 + x1 == pytest.approx(shape[1], abs=3) and y0 + y1 == pytest.approx(shape[0], abs=3)
    covered = (y1 - y0) / shape[0], (x1 - x0) / shape[1]
    assert max(covered) == pytest.approx(1, abs=0.03) and max(covered) <= 1 + 1e-6
    # one scale for both axes
    assert (x1 - x0) / (y1 - y0) == pytest.approx(size[1] / size[0], rel=0.04)


def test_views_that_are_not_square(photo):
    out = Views([dict(num=2, size=(32, 80), flip=1.0), dict(size=[16, 16])])(dict(img=photo))
    assert [view.shape for view in out['img']] == [(32, 80, 3)] * 2 + [(16, 16, 3)]
    plain = Views([dict(size=(32, 80), flip=0.0, scale=(1, 1), ratio=(250 / 188,) * 2)])
    want = Image.fromarray(photo).resize((80, 32), Image.BILINEAR)
    got = plain(dict(img=photo))['img'][0]
    assert np.abs(got.astype(int) - np.asarray(want)).mean() < 1


def test_center_view_of_the_right_size_is_the_image(photo):
    img = photo[:32, :32]
    out = CenterView(32)(dict(img=img))
    assert (out['img'] == img).all()
    assert out['view_boxes'].tolist() == [[0, 0, 32, 32]]


# ------------------------------------------------------------------ geometry
def loop_to_view(boxes, view_box, flip, size):
    out = []
    height, width = (size, size) if isinstance(size, int) else size
    x0, y0, x1, y1 = map(float, view_box)
    for left, top, right, bottom in boxes:
        u1, u2 = ((x - x0) * width / (x1 - x0) for x in (left, right))
        v1, v2 = ((y - y0) * height / (y1 - y0) for y in (top, bottom))
        if flip:
            u1, u2 = width - u2, width - u1
        out.append([u1, v1, u2, v2])
    return np.array(out)


def random_boxes(rng, shape, span):
    low = rng.uniform(0, span / 2, (*shape, 2))
    return np.concatenate([low, low + rng.uniform(1, span / 2, low.shape)], -1)


@pytest.mark.parametrize('kind', ['numpy', 'torch'])
@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('size', [224, (96, 160)])
def test_boxes_to_view_and_back(kind, flip, size):
    rng = np.random.default_rng(0)
    boxes, (view,) = random_boxes(rng, (7,), 300), random_boxes(rng, (1,), 300)
    expected = loop_to_view(boxes, view, flip, size)
    given = torch.from_numpy(boxes) if kind == 'torch' else boxes
    there = boxes_to_view(given, view, flip, size)
    back = boxes_to_image(there, view, flip, size)
    assert type(there) is type(given) and type(back) is type(given)
    np.testing.assert_allclose(there, expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(back, boxes, rtol=0, atol=1e-9)
    assert (there[:, 2:] > there[:, :2]).all()  # still left before right


def test_boxes_of_a_batch_at_once():
    rng = np.random.default_rng(1)
    boxes, views = random_boxes(rng, (5, 3), 200), random_boxes(rng, (5,), 200)
    flips = np.array([True, False, True, True, False])
    expected = [loop_to_view(b, v, f, 96) for b, v, f in zip(boxes, views, flips)]
    for convert in (np.asarray, torch.from_numpy):
        args = convert(boxes), convert(views), convert(flips), 96
        there = boxes_to_view(*args)
        np.testing.assert_allclose(there, expected, rtol=0, atol=1e-9)
        back = boxes_to_image(there, *args[1:])
        np.testing.assert_allclose(back, boxes, rtol=0, atol=1e-9)


def test_whole_number_boxes_are_not_rounded():
    out = boxes_to_view(np.array([[1, 1, 2, 2]]), (0, 0, 3, 3), False, 4)
    np.testing.assert_allclose(out, [[4 / 3, 4 / 3, 8 / 3, 8 / 3]], rtol=1e-6)
    out = boxes_to_view(torch.tensor([[1, 1, 2, 2]]), (0, 0, 3, 3), False, 4)
    np.testing.assert_allclose(out, [[4 / 3, 4 / 3, 8 / 3, 8 / 3]], rtol=1e-6)


def test_same_region_in_two_views_goes_back_to_one_box():
    rng = np.random.default_rng(2)
    box = random_boxes(rng, (1,), 100)
    query, key = random_boxes(rng, (2,), 300)
    in_query = boxes_to_view(box, query, True, 224)
    in_key = boxes_to_view(boxes_to_image(in_query, query, True, 224), key, False, 224)
    np.testing.assert_allclose(boxes_to_image(in_key, key, False, 224), box, rtol=0, atol=1e-9)


def test_boxes_and_segments_follow(photo):
    """Against a loop over pixels, for cropped, padded and centered views."""
    rng = np.random.default_rng(0)
    img = photo[:40, :56]
    segments = rng.integers(0, 9, (40, 56)).astype(np.uint8)
    boxes = np.array([[2, 3, 30, 20], [50, 30, 56, 40], [0, 0, 1, 1]], np.float32)
    crops = Views(
        [dict(num=6, size=17, scale=(0.1, 0.8)), dict(num=6, size=36, crop='pad', padding=4)]
    )
    wide = Views(
        [
            dict(num=6, size=(13, 29), scale=(0.1, 0.8), ratio=(1.5, 3)),
            dict(num=6, size=(36, 44), crop='pad', padding=4),
        ]
    )
    for transform in (crops, wide, CenterView(24, 30), CenterView((20, 32)), CenterView((32, 20))):
        out = transform(dict(img=img, segments=segments, gt_bboxes=boxes, rng=rng))
        kept = 0
        for i, (box, flip) in enumerate(zip(out['view_boxes'], out['view_flips'])):
            view = out['view_segments'][i]
            size = height, width = view.shape
            x0, y0, x1, y1 = map(float, box)
            expected = np.zeros_like(view)
            for v in range(height):
                for u in range(width):
                    y = math.floor(y0 + (v + 0.5) * (y1 - y0) / height)
                    x = math.floor(x0 + (u + 0.5) * (x1 - x0) / width)
                    if 0 <= y < 40 and 0 <= x < 56:
                        expected[v, width - 1 - u if flip else u] = segments[y, x]
            assert view.dtype == segments.dtype and (view == expected).all()
            assert (view == segments_to_view(segments, box, flip, size)).all()
            inside = loop_to_view(boxes, box, flip, size).clip(0, [width, height] * 2)
            ids = [j for j, b in enumerate(inside) if b[2] > b[0] and b[3] > b[1]]
            assert out['view_bbox_ids'][i].tolist() == ids
            np.testing.assert_allclose(out['view_bboxes'][i], inside[ids], rtol=0, atol=1e-3)
            kept += len(ids)
        assert 0 < kept < 3 * len(out['view_boxes']) + isinstance(transform, CenterView)


def test_segments_lie_where_the_pixels_lie(photo):
    """An image of two colors: its view and the view of its label map agree
    away from edges, so crop, flip and segments use one geometry."""
    segments = np.zeros((120, 160), np.uint8)
    segments[30:90, 20:70] = 1
    img = np.repeat(segments[..., None] * 200, 3, -1)
    out = Views([dict(num=20, size=48, scale=(0.3, 1.0))])(
        dict(img=img, segments=segments, rng=np.random.default_rng(0))
    )
    for view, labels in zip(out['img'], out['view_segments']):
        clear = (view[..., 0] < 20) | (view[..., 0] > 180)
        assert clear.mean() > 0.8
        assert ((view[..., 0] > 100) == labels)[clear].all()


def test_image_without_boxes():
    out = Views(TWO)(dict(img=np.zeros((80, 80, 3), np.uint8), gt_bboxes=np.zeros((0, 4))))
    assert [b.shape for b in out['view_bboxes']] == [(0, 4)] * 2


# ---------------------------------------------------------------- randomness
def test_views_depend_on_seed_epoch_index_only(photo):
    views = Views(TWO)

    def make(*args):
        random.seed(None)
        np.random.seed(None)
        out = views(dict(img=photo, sample_idx=SampleIndex(*args)))
        assert isinstance(out['rng'], np.random.Generator)
        return np.stack(out['img'])

    one = make(3, 0, 7)
    assert (one == make(3, 0, 7)).all()
    for other in ((4, 0, 7), (3, 1, 7), (3, 0, 8)):
        assert (one != make(*other)).any()
    first, second = views(dict(img=photo))['img']
    assert (first != second).any()


def test_generator_of_the_sample_is_continued(photo):
    rng = np.random.default_rng(5)
    out = Views(TWO)(dict(img=photo, rng=rng))
    assert out['rng'] is rng
    assert rng.random() != np.random.default_rng(5).random()


# --------------------------------------------------------- files and packing
def test_from_a_file(tmp_path, photo):
    path = str(tmp_path / 'ä photo.png')
    Image.fromarray(photo).save(path)
    assert (read_rgb(path) == photo).all()
    index = SampleIndex(1, 2, 3)
    a = Views(TWO)(dict(img_path=path, sample_idx=index))
    b = Views(TWO)(dict(img=photo, sample_idx=index))
    assert all((x == y).all() for x, y in zip(a['img'], b['img']))
    Image.fromarray(photo[..., 0]).save(path)
    assert read_rgb(path).shape == photo.shape
    assert a['ori_shape'] == (188, 250)


def test_gray_and_read_only_arrays(photo):
    gray = photo[..., 0]
    for img in (gray, gray[..., None]):
        (view,) = Views([dict(size=32)])(dict(img=img))['img']
        assert (view == view[..., :1]).all() and view.shape == (32, 32, 3)
    frozen = photo.copy()
    frozen.flags.writeable = False
    assert CenterView(32)(dict(img=frozen))['img'].shape == (32, 32, 3)


def test_resize_does_not_touch_its_input(photo):
    kept = photo.copy()
    resize(photo, (20, 30), 'bicubic')
    assert (photo == kept).all()


def test_packing_and_batches(photo):
    segments = np.arange(188 * 250).reshape(188, 250) % 300
    batch = []
    for i in range(3):
        out = Views([dict(num=2, size=32), dict(num=3, size=16)])(
            dict(
                img=photo,
                sample_idx=i,
                gt_label=i,
                img_path=f'{i}.jpg',
                segments=segments.astype(np.uint16),
                caption_ids=[1, 2],
                gt_bboxes=np.array([[0, 0, 250, 188.0]]),
            )
        )
        views = out['img']
        packed = PackViews(keys=['caption_ids'])(out)
        for view, tensor in zip(views, packed['inputs']):
            assert tensor.dtype == torch.uint8 and tensor.is_contiguous()
            assert (tensor.numpy() == view.transpose(2, 0, 1)).all()
        batch.append(pickle.loads(pickle.dumps(packed)))
    data = default_collate(batch)
    assert [tuple(x.shape) for x in data['inputs']] == [(3, 3, 32, 32)] * 2 + [(3, 3, 16, 16)] * 3
    for i, sample in enumerate(data['data_samples']):
        assert sample.view_boxes.shape == (5, 4)
        assert sample.view_boxes.dtype == torch.float32
        assert sample.view_flips.dtype == torch.bool
        assert len(sample.view_segments) == len(sample.view_bboxes) == 5
        assert sample.view_segments[4].shape == (16, 16)
        assert sample.gt_label.tolist() == [i]
        assert (sample.sample_idx, sample.img_path) == (i, f'{i}.jpg')
        assert [x.item() for x in sample.caption_ids] == [1, 2]


def test_samples_travel_by_value(photo):
    # A tensor sent as shared memory costs about 1 ms, and a batch has hundreds.
    out = Views([dict(num=4, size=32)])(
        dict(
            img=photo,
            gt_label=3,
            segments=np.zeros((188, 250), np.uint8),
            gt_bboxes=np.array([[0, 0, 250, 188.0]]),
        )
    )
    sample = PackViews()(out)['data_samples']
    plain = DataSample(view_bboxes=sample.view_bboxes)
    assert b'rebuild_storage' in bytes(ForkingPickler.dumps(plain))
    sent = bytes(ForkingPickler.dumps(sample))
    assert b'rebuild_storage' not in sent
    for other in (pickle.loads(sent), copy.deepcopy(sample)):
        assert type(other) is type(sample) and set(other.keys()) == set(sample.keys())
        for key in ('view_bboxes', 'view_segments'):
            for mine, its in zip(sample.get(key), other.get(key)):
                assert mine.dtype == its.dtype and torch.equal(mine, its)
                its += 1  # writable, and not the same memory
                assert not torch.equal(mine, its)
        assert torch.equal(sample.gt_label, other.gt_label)
    sample.set_field(torch.ones(2, dtype=torch.bfloat16), 'half')  # unknown to NumPy
    assert torch.equal(pickle.loads(pickle.dumps(sample)).half, sample.half)


def test_packing_a_single_image(photo):
    out = PackViews()(CenterView(24)(dict(img=photo, gt_label=2)))
    assert out['inputs'].shape == (3, 24, 24)
    assert out['data_samples'].view_boxes.shape == (1, 4)
    out = PackViews()(dict(img=photo))  # no view at all
    assert out['inputs'].shape == (3, 188, 250)
    assert not hasattr(out['data_samples'], 'view_boxes')
    assert (chw_tensor(photo).numpy() == photo.transpose(2, 0, 1)).all()


@pytest.mark.parametrize('scope', ['mmpretrain', 'mmdet', 'mmseg'])
def test_built_by_name_under_any_scope(scope):
    with DefaultScope.overwrite_default_scope(scope):
        group = dict(size=8, _scope_='mmpretrain')
        views = ROOT.build(dict(type='mssl_plugins.Views', views=[group]))
        assert isinstance(views, Views) and '[8]' in repr(views)
        ROOT.build(dict(type='mssl_plugins.CenterView', size=8))
        ROOT.build(dict(type='mssl_plugins.PackViews'))
    assert isinstance(copy.deepcopy(views), Views)


# ------------------------------------------------------------------ mistakes
@pytest.mark.parametrize(
    'group, message',
    [
        (dict(size=8, jiter={}), "did you mean 'jitter'"),
        (dict(num=2), "needs 'size'"),
        (dict(size=0), 'size=0'),
        (dict(size=8.5), 'size=8.5'),
        (dict(size=(8, 8, 8)), 'a side in px, or .height, width.'),
        (dict(size=(8, 0)), 'size=0'),
        (dict(size=8, num=0), 'num=0'),
        (dict(size=8, scale=(0.5, 1.5)), 'scale'),
        (dict(size=8, scale=(0.5, 0.2)), 'scale'),
        (dict(size=8, ratio=(0, 1)), 'ratio'),
        (dict(size=8, padding=-1), 'padding=-1'),
        (dict(size=8, flip=2), 'flip: probability 2'),
        (dict(size=8, crop='padd'), "did you mean 'pad'"),
        (dict(size=8, interpolation='bilinar'), "did you mean 'bilinear'"),
    ],
)
def test_wrong_groups(group, message):
    with pytest.raises(ValueError, match=message):
        Views([group])


def test_wrong_inputs(tmp_path, photo):
    views = Views([dict(size=16)])
    with pytest.raises(ValueError, match='list of one or more groups'):
        Views([])
    with pytest.raises(ValueError, match='list of one or more groups'):
        Views(dict(size=8))
    with pytest.raises(TypeError, match='uint8 array, got float32'):
        views(dict(img=photo.astype(np.float32)))
    with pytest.raises(TypeError, match='got list'):
        views(views(dict(img=photo)))
    with pytest.raises(ValueError, match=r'got \(188, 250, 2\)'):
        views(dict(img=photo[..., :2]))
    with pytest.raises(KeyError, match="'img' or 'img_path'"):
        views(dict(gt_label=1))
    with pytest.raises(FileNotFoundError):
        views(dict(img_path=str(tmp_path / 'none.jpg')))
    Image.fromarray(photo).save(tmp_path / 'whole.jpg')
    whole = (tmp_path / 'whole.jpg').read_bytes()
    for content in (b'', b'text', whole[: len(whole) // 2]):
        (tmp_path / 'bad.jpg').write_bytes(content)
        with pytest.raises(ValueError, match='bad.jpg.*not a readable image'):
            views(dict(img_path=str(tmp_path / 'bad.jpg')))
    with pytest.raises(ValueError, match='at least 56 px'):
        Views([dict(size=64, crop='pad')])(dict(img=photo[:40]))
    with pytest.raises(ValueError, match="'segments' must have the shape"):
        views(dict(img=photo, segments=np.zeros((3, 3), int)))
    with pytest.raises(ValueError, match="'gt_bboxes' must be of shape"):
        views(dict(img=photo, gt_bboxes=np.zeros((3, 5))))
    with pytest.raises(KeyError, match="needs 'mask'"):
        PackViews(keys=['mask'])(dict(img=photo))
    with pytest.raises(ValueError, match='smaller than size'):
        CenterView(32, 16)


def test_peer_of_the_benchmark_gives_the_same_shapes(tmp_path, photo):
    sys.path.insert(0, str(Path(__file__).parents[3] / 'tools'))
    try:
        from benchmarks.pil_views import PILViews
    finally:
        sys.path.pop(0)
    path = os.path.join(tmp_path, 'photo.jpg')
    Image.fromarray(photo).save(path, quality=90)
    groups = TWO + [dict(num=3, size=32, solarize=dict(p=0.2))]
    theirs = PILViews(groups)(path)
    ours = PackViews()(Views(groups)(dict(img_path=path)))['inputs']
    assert [x.shape for x in theirs] == [x.shape for x in ours]
    assert theirs[0].dtype == torch.float32
