"""Photometric operations against Pillow's and torchvision's, pixel by pixel
at equal parameters and in distribution over 20,000 draws."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from scipy.stats import kstest
from skimage import data
from torchvision import transforms as T
from torchvision.transforms import functional as TF

from mssl_plugins.datasets.transforms import photometric as A

DRAWS = 20000
PHOTOS = ('astronaut', 'coffee', 'chelsea')


@pytest.fixture(scope='module', params=PHOTOS)
def photo(request):
    img = Image.fromarray(getattr(data, request.param)())
    return img.resize((320, 240), Image.BICUBIC)


def difference(ours, theirs):
    assert ours.dtype == np.uint8 and ours.shape == np.asarray(theirs).shape
    return np.abs(ours.astype(int) - np.asarray(theirs).astype(int))


@pytest.mark.parametrize('factor', [0.0, 0.2, 0.6, 0.9, 1.0, 1.1, 1.4, 2.0])
@pytest.mark.parametrize(
    'name, enhance',
    [
        ('brightness', ImageEnhance.Brightness),
        ('contrast', ImageEnhance.Contrast),
        ('saturation', ImageEnhance.Color),
    ],
)
def test_blends(photo, name, enhance, factor):
    ours = A.JITTER[name](np.array(photo), factor)
    off = difference(ours, enhance(photo).enhance(factor))
    # Pillow rounds the gray image before it blends: half a level at most
    assert off.mean() < 0.55 and off.max() <= 3


@pytest.mark.parametrize('shift', [-0.5, -0.1, -0.03, 0.0, 0.07, 0.1, 0.4])
def test_hue(photo, shift):
    ours = A.adjust_hue(np.array(photo), shift)
    off = difference(ours, TF.adjust_hue(photo, shift))
    assert off.mean() < 2 and np.quantile(off, 0.99) <= 8
    if abs(shift) > 0.05:  # it does something, and the right thing
        assert off.mean() < 0.2 * difference(ours, photo).mean()


def test_gray_and_solarize(photo):
    img = np.array(photo)
    assert difference(A.gray(img), TF.to_grayscale(photo, 3)).max() <= 1
    for threshold in (0, 100, 128, 256):
        assert (A.solarize(img, threshold) == np.asarray(ImageOps.solarize(photo, threshold))).all()


@pytest.mark.parametrize('sigma', [0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 5.0])
def test_blur(photo, sigma):
    ours = A.blur(np.array(photo), sigma)
    theirs = photo.filter(ImageFilter.GaussianBlur(sigma))
    assert difference(ours, theirs).mean() < 0.8
    inner = difference(ours, theirs)[16:-16, 16:-16]
    assert inner.max() <= 6


@pytest.mark.parametrize('sigma', [0.5, 1.0, 2.0, 3.7])
def test_blur_kernel_has_the_variance_of_the_gaussian(sigma):
    kernel = A.blur_kernel(sigma).astype(np.float64)
    x = np.arange(len(kernel)) - len(kernel) // 2
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert (kernel * x**2).sum() == pytest.approx(sigma**2, rel=0.03)


def test_input_is_left_alone(photo):
    img = np.array(photo)
    kept = img.copy()
    rng = np.random.default_rng(0)
    light = A.Photometric(
        jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
        gray=0.5,
        blur=dict(sigma=(0.1, 2.0)),
        solarize=dict(p=0.5),
    )
    for _ in range(5):
        assert light(img, rng).shape == img.shape
        assert (img == kept).all()


@pytest.fixture(scope='module')
def draws():
    light = A.Photometric(
        jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8),
        gray=0.2,
        blur=dict(p=0.5, sigma=(0.1, 2.0)),
        solarize=dict(p=0.2),
    )
    rng = np.random.default_rng(0)
    return [light.draw(rng) for _ in range(DRAWS)]


def share(count, p, n=DRAWS):
    """Within four and a half standard errors."""
    return abs(count / n - p) < 4.5 * math.sqrt(p * (1 - p) / n)


def test_laws_of_jitter(draws):
    torch.manual_seed(0)
    theirs = T.ColorJitter(0.4, 0.4, 0.2, 0.1)
    theirs = [
        theirs.get_params(theirs.brightness, theirs.contrast, theirs.saturation, theirs.hue)
        for _ in range(DRAWS)
    ]
    names = list(A.JITTER.values())
    orders, factors = {}, {op: [] for op in names}
    for ops in draws:
        jitter = [(op, args[0]) for op, args in ops if op in names]
        order = tuple(names.index(op) for op, _ in jitter)
        orders[order] = orders.get(order, 0) + 1
        for op, factor in jitter:
            factors[op].append(factor)
    skipped = orders.pop(())
    assert share(DRAWS - skipped, 0.8)
    assert len(orders) == 24  # every order, equally often
    assert all(share(n, 1 / 24, DRAWS - skipped) for n in orders.values())
    for i, op in enumerate(names):
        assert kstest(factors[op], [t[i + 1] for t in theirs]).pvalue > 1e-4


def test_distributions_of_gray_blur_solarize(draws):
    count = {
        op: sum(any(o is op for o, _ in ops) for ops in draws)
        for op in (A.gray, A.blur, A.solarize)
    }
    assert share(count[A.gray], 0.2)
    assert share(count[A.blur], 0.5)
    assert share(count[A.solarize], 0.2)
    sigmas = [args[0] for ops in draws for op, args in ops if op is A.blur]
    assert kstest(sigmas, 'uniform', (0.1, 1.9)).pvalue > 1e-4
    order = [A.gray, A.blur, A.solarize]
    for ops in draws:
        tail = [order.index(op) for op, _ in ops if op in order]
        assert tail == sorted(tail)
        assert all(op not in order for op, _ in ops[: len(ops) - len(tail)])


@pytest.mark.parametrize('strength', [0.0, 0.4, 1.5, (0.5, 3.0)])
@pytest.mark.parametrize('name', ['brightness', 'contrast', 'saturation'])
def test_ranges_are_torchvisions(name, strength):
    theirs = getattr(T.ColorJitter(**{name: strength}), name)
    ours = A.factor_range(strength, name)
    assert ours == (tuple(theirs) if theirs else None)


@pytest.mark.parametrize(
    'wrong, message',
    [
        (dict(jitter=dict(brightnes=0.4)), "did you mean 'brightness'"),
        (dict(jitter=dict(hue=0.6)), 'hue=0.6'),
        (dict(jitter=dict(contrast=-1)), 'contrast=-1'),
        (dict(jitter=dict(contrast=(1.0, 0.5))), 'low <= high'),
        (dict(blur=dict(sigm=(1, 2))), "did you mean 'sigma'"),
        (dict(blur=dict(sigma=(2.0, 0.1))), '0 <= low <= high'),
        (dict(gray=1.2), 'gray: probability 1.2'),
        (dict(solarize=dict(p=-1)), 'solarize: probability -1'),
    ],
)
def test_mistakes(wrong, message):
    with pytest.raises(ValueError, match=message.replace('(', r'\(')):
        A.Photometric(**wrong)


def test_mark_of_inherited_configs_is_no_mistake():
    A.Photometric(blur=dict(sigma=(1, 2), _scope_='mmpretrain'))


def test_whole_chain_is_close_to_torchvisions(photo):
    """Means of many augmented images: a distribution or a scale gone wrong would
    shift them."""
    sys.path.insert(0, str(Path(__file__).parents[3] / 'tools'))
    try:
        from benchmarks.pil_views import transform
    finally:
        sys.path.pop(0)
    group = dict(
        jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8),
        gray=0.2,
        blur=dict(p=0.5, sigma=(0.1, 2.0)),
        solarize=dict(p=0.2),
    )
    small = photo.resize((64, 48))
    light, rng = A.Photometric(**group), np.random.default_rng(0)
    ours = [light(np.array(small), rng) for _ in range(600)]
    theirs = T.Compose(transform(64, flip=0.0, **group).transforms[2:-2])  # photometric only
    torch.manual_seed(0)
    theirs = [np.array(theirs(small)) for _ in range(600)]
    for measure in (np.mean, np.std):
        a, b = ([measure(x) for x in xs] for xs in (ours, theirs))
        error = math.sqrt(np.var(a) / 600 + np.var(b) / 600)
        assert abs(np.mean(a) - np.mean(b)) < 4.5 * error
