"""Generated scenes: what they contain, and how hard they are."""

import copy

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS as ROOT
from torch import nn
from torch.utils.data import DataLoader

from mssl_plugins.datasets import scene_sources
from mssl_plugins.datasets.scene_sources import (
    GLYPHS,
    PHOTOS,
    load_outlines,
    load_photos,
)
from mssl_plugins.datasets.scenes import Scenes

MANY = dict(size=96, objects=(2, 6), num_classes=20, segments=True)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


def test_sample_has_what_every_task_needs():
    sample = Scenes(num_classes=10, length=30)[13]
    assert sample['img'].dtype == np.uint8
    assert sample['img'].shape == (32, 32, 3)
    assert sample['img_shape'] == sample['ori_shape'] == (32, 32)
    assert sample['gt_label'] == 3 and sample['sample_idx'] == 13
    assert sample['gt_bboxes'].dtype == np.float32
    assert sample['gt_bboxes'].shape == (1, 4)
    assert sample['gt_bboxes_labels'].tolist() == [3]
    assert sample['gt_masks'].dtype == bool
    assert sample['gt_masks'].shape == (1, 32, 32)
    assert 'segments' not in sample
    assert 'scenes/train/00013' == sample['img_path']


def test_boxes_masks_and_segments_agree():
    data = Scenes(length=40, occlusion=(0.1, 0.5), **MANY)
    counts = set()
    for sample in (data[i] for i in range(40)):
        masks = sample['gt_masks']
        counts.add(len(masks))
        assert sample['gt_bboxes_labels'][0] == sample['gt_label']
        assert len(sample['gt_bboxes']) == len(masks) == len(sample['gt_bboxes_labels'])
        assert masks.sum(0).max() == 1  # visible parts do not overlap
        want = np.zeros((96, 96), int)
        for n, (mask, box) in enumerate(zip(masks, sample['gt_bboxes'])):
            ys, xs = np.nonzero(mask)
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            for y, x in zip(ys, xs):
                want[y, x] = n + 1
        assert sample['segments'].dtype == np.uint8
        assert (sample['segments'] == want).all()
    assert len(counts) >= 4 and max(counts) <= 6


def test_mask_is_where_the_object_is():
    """One color under the mask, another one around it."""
    kw = dict(size=64, occlusion=0, noise=0, texture=0, contrast=0.4, blur=1.0)
    data = Scenes(length=24, **kw)
    for i in range(24):
        sample = data[i]
        mask = sample['gt_masks'][0]
        img = sample['img'].astype(float).mean(-1)
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3))) > 0
        ring = cv2.dilate(mask.astype(np.uint8), np.ones((7, 7))) > 0
        ring &= cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) == 0
        if inner.sum() > 20:
            color = np.median(img[inner])
            assert np.median(abs(img[inner] - color)) < 2
            assert abs(color - np.median(img[ring])) > 20


def test_function_of_seed_split_and_index_alone():
    one, two = Scenes(length=50), Scenes(length=20)
    assert all(same(one[i], two[i]) for i in range(20))
    assert same(one[7], one[7]) and same(one[7], copy.deepcopy(one)[7])
    for other in (Scenes(length=50, seed=1), Scenes(length=50, split='test')):
        assert not any((one[i]['img'] == other[i]['img']).all() for i in range(50))
    assert not (one[0]['img'] == one[12]['img']).all()


def test_workers_change_nothing():
    data = Scenes(length=24, pipeline=[lambda r: r['img']])
    a, b = (torch.cat(list(DataLoader(data, 6, num_workers=n))) for n in (0, 2))
    assert (a == b).all()


def test_global_generators_play_no_part():
    np.random.seed(0)
    a = Scenes(length=3)[2]
    np.random.seed(1)
    assert same(a, Scenes(length=3)[2])


def test_labels_are_balanced_in_every_slice():
    data = Scenes(length=120, num_classes=12)
    assert np.bincount(data.get_gt_labels()[24:60]).tolist() == [3] * 12
    assert data.CLASSES == tuple(GLYPHS)[:12] == data.metainfo['classes']


def test_subset_shows_the_scenes_of_the_whole():
    whole = Scenes(length=30)
    part = Scenes(length=30, indices=[4, 17])
    assert len(part) == 2
    for i, j in enumerate((4, 17)):
        assert (part[i]['img'] == whole[j]['img']).all()
        assert part[i]['gt_label'] == whole[j]['gt_label']
    assert (whole.get_subset([17])[0]['img'] == whole[17]['img']).all()


def test_held_out_scenes_stand_on_other_photos():
    assert not set(PHOTOS['train']) & set(PHOTOS['test'])
    train, test = ([p.tobytes() for p in load_photos(s, 96)] for s in ('train', 'test'))
    assert len(set(train)) >= 6 and len(set(test)) >= 4
    assert not set(train) & set(test)


def test_photos_come_from_the_wheels():
    """Listed in the installed distribution, so nobody has to download."""
    from importlib.metadata import files

    shipped = {str(f) for name in ('scikit-image', 'scikit-learn') for f in files(name)}
    for photos in PHOTOS.values():
        for (package, folder), name in photos:
            assert f'{package}/{folder}/{name}' in shipped


@pytest.mark.parametrize('name', GLYPHS)
def test_outlines(name):
    variants = load_outlines(name)
    assert variants
    for polygons in variants:
        points = np.concatenate(polygons)
        assert np.allclose(points.max(0) + points.min(0), 0)
        assert np.isclose(np.ptp(points, axis=0).max(), 1)


def test_outlines_stand_upright():
    """The umbrella's canopy is wide and on top, y pointing downwards."""
    points = np.concatenate(load_outlines('umbrella')[0])
    top, bottom = (points[points[:, 1] < -0.1], points[points[:, 1] > 0.1])
    assert np.ptp(top[:, 0]) > 2 * np.ptp(bottom[:, 0])


def test_missing_photo_and_package_are_named(monkeypatch):
    monkeypatch.setitem(PHOTOS, 'test', ((('skimage', 'data'), 'no.png'),))
    with pytest.raises(FileNotFoundError, match='no.png'):
        load_photos.__wrapped__('test', 50)
    monkeypatch.setattr(scene_sources.importlib.util, 'find_spec', lambda _: None)
    with pytest.raises(ImportError, match='pip install scikit-image'):
        load_photos.__wrapped__('test', 50)


# --- arguments


def extent(**kw):
    data = Scenes(length=60, size=64, occlusion=0, **kw)
    return np.array(
        [(b[2:] - b[:2]).max() / 64 for b in (data[i]['gt_bboxes'][0] for i in range(60))]
    )


def test_scale_is_the_longer_side():
    for low, high in ((0.3, 0.3), (0.5, 0.8), (1.0, 1.0)):
        sides = extent(scale=(low, high))
        assert low - 0.06 < sides.min() and sides.max() < high + 0.06


def test_rotation_turns():
    """A cross upright fills its box evenly; turned, corners stick out."""
    upright = Scenes(length=120, num_classes=12, rotation=0, shear=0, occlusion=0, size=64)
    for sample in (upright[i] for i in range(8, 120, 12)):
        mask = sample['gt_masks'][0]
        x0, y0, x1, y1 = sample['gt_bboxes'][0].astype(int)
        inner = mask[y0:y1, x0:x1]
        assert sample['gt_label'] == list(GLYPHS).index('cross')
        assert (inner == inner[:, ::-1]).mean() > 0.9
        assert inner[len(inner) // 2].mean() > 0.9
    turned = Scenes(length=120, num_classes=12, rotation=45, shear=0, occlusion=0, size=64)
    filled = []
    for i in range(8, 120, 12):
        x0, y0, x1, y1 = turned[i]['gt_bboxes'][0].astype(int)
        filled.append(turned[i]['gt_masks'][0][y0:y1, x0:x1][0].mean())
    assert np.std(filled) > 0.05


@pytest.mark.parametrize('covered', [0.2, 0.6])
def test_occlusion_hides_its_share(covered):
    whole, hidden = (Scenes(length=40, size=64, occlusion=c) for c in (0.0, covered))
    parts = [hidden[i]['gt_masks'].sum() / whole[i]['gt_masks'].sum() for i in range(40)]
    # a bar that ends inside the object hides less, never more
    assert min(parts) > 1 - covered - 0.05
    assert np.median(parts) < 1 - covered + 0.1


def sharpness(**kw):
    data = Scenes(length=40, noise=0, occlusion=0, **kw)
    total = 0
    for i in range(40):
        sample = data[i]
        img = sample['img'].astype(float)
        away = cv2.dilate(sample['gt_masks'][0].astype(np.uint8), np.ones((5, 5))) == 0
        total += abs(np.diff(img, axis=1))[away[:, 1:]].mean()
    return total / 40


def test_blur_smoothes_the_background():
    sharp, soft, flat = (sharpness(blur=b) for b in (0, 0.06, 0.3))
    assert sharp > 2 * soft > 4 * flat


def test_texture_and_noise_roughen():
    def inside(**kw):
        data = Scenes(length=40, size=64, occlusion=0, scale=(0.85, 0.9), **kw)
        return np.mean(
            [
                data[i]['img'][
                    cv2.erode(data[i]['gt_masks'][0].astype(np.uint8), np.ones((5, 5))) > 0
                ]
                .std(0)
                .mean()
                for i in range(12)
            ]
        )

    flat = inside(texture=0, noise=0)
    assert flat < 2
    assert inside(texture=0.5, noise=0) > flat + 5
    assert inside(texture=0, noise=0.1) > flat + 5


def test_many_tiny_objects():
    data = Scenes(length=40, size=16, objects=(20, 30), scale=0.1, num_classes=20)
    for i in range(40):
        sample = data[i]
        assert (sample['gt_bboxes'][:, 2:] > sample['gt_bboxes'][:, :2]).all()
        assert sample['gt_bboxes_labels'][0] == i % 20
        assert sample['gt_masks'][0].any()


@pytest.mark.parametrize(
    'arguments, error',
    [
        (dict(split='tests'), "did you mean 'test'"),
        (dict(num_classes=21), 'num_classes must be in 2 .. 20, got 21'),
        (dict(length=0), 'length'),
        (dict(size=8), 'size must be in 16'),
        (dict(seed=-1), 'seed'),
        (dict(blur=-1), 'blur'),
        (dict(scale=(0.5, 1.2)), 'scale must be a number or'),
        (dict(scale=(0.8, 0.5)), 'scale'),
        (dict(objects=0), 'objects'),
        (dict(occlusion=(0, 1)), 'occlusion'),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(ValueError, match=error):
        Scenes(**arguments)


def test_found_by_prefix():
    data = ROOT.build(dict(type='mssl_plugins.Scenes', length=2))
    assert isinstance(data, Scenes)


# --- difficulty


@pytest.fixture(scope='module')
def images():
    """4,000 training and 1,000 held-out scenes of the default difficulty."""
    out = []
    for split, length in (('train', 4000), ('test', 1000)):
        data = Scenes(split=split, length=length)
        all_of = [data[i] for i in range(length)]
        out += [np.stack([s['img'] for s in all_of]), np.array([s['gt_label'] for s in all_of])]
    return out


@pytest.mark.parametrize('metric', ['cosine', 'euclidean'])
def test_raw_pixels_fail(images, metric):
    """Below 0.35 as the issue asks; measured 0.20."""
    from sklearn.neighbors import KNeighborsClassifier

    x, y, test_x, test_y = images
    x, test_x = (a.reshape(len(a), -1) / np.float32(255) for a in (x, test_x))
    knn = KNeighborsClassifier(20, metric=metric, algorithm='brute')
    accuracy = knn.fit(x, y).score(test_x, test_y)
    print(f'raw pixels, {metric}: {accuracy:.3f}')
    assert 1.2 / 12 < accuracy < 0.35


def test_a_small_supervised_network_succeeds(images):
    """Above 0.90 on photos it never saw."""
    x, y, test_x, test_y = map(torch.from_numpy, images)
    x, test_x = ((a.permute(0, 3, 1, 2) / 255 - 0.45) for a in (x, test_x))

    def block(cin, cout):
        return [
            nn.Conv2d(cin, cout, 3, padding=1, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]

    torch.manual_seed(0)
    net = nn.Sequential(
        *block(3, 16),
        *block(16, 48),
        *block(48, 128),
        *block(128, 192),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(192, 12),
    )
    net = net.to(memory_format=torch.channels_last)
    epochs, batch = 2, 50  # 0.99 after two already
    optim = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optim, 5e-3, total_steps=epochs * len(x) // batch
    )
    for _ in range(epochs):
        for chosen in torch.randperm(len(x)).view(-1, batch):
            shift = torch.randint(-3, 4, (2,)).tolist()
            loss = nn.functional.cross_entropy(net(x[chosen].roll(shift, (2, 3))), y[chosen])
            optim.zero_grad()
            loss.backward()
            optim.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        accuracy = (net(test_x).argmax(1) == test_y).float().mean().item()
    assert accuracy > 0.90
