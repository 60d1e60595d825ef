"""The views of a whole batch as one tensor program, for small images.

The distributions of :class:`~mssl_plugins.datasets.transforms.views.Views`, of the
same arguments, drawn for all samples at once; crops, resizing, flips and blur are
products with matrices of each sample's own, color by arithmetic on whole batches.
On any device.  What it computes in floating point, :class:`Views` rounds to whole
levels after each operation: they differ by a level or two of 255.

At 32 to 96 px a call into a library costs more than its arithmetic; that is where
this pays.  Large photos are decoded by workers, which should also cut them.
"""

import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.datasets.transforms.geometry import carry, height_width
from mssl_plugins.datasets.transforms.pack import tensors
from mssl_plugins.datasets.transforms.photometric import LUMA, Photometric
from mssl_plugins.datasets.transforms.views import ViewGroup, Views

TRIES = 10  # of a random crop, as torchvision's


def batch_rng(samples: Optional[Sequence]) -> np.random.Generator:
    """The generator of a batch: a function of seed, epoch and indices of its samples.

    Args:
        samples (Sequence, optional): Data samples with ``sample_idx``; see
            :func:`~mssl_plugins.datasets.sampler.sample_rng`.
    """
    indices = [sample.get('sample_idx') for sample in samples or ()]
    if indices and all(isinstance(index, SampleIndex) for index in indices):
        return np.random.default_rng([indices[0].seed, indices[0].epoch, *map(int, indices)])
    return np.random.default_rng()


# ------------------------------------------------------------------- geometry
def random_resized_crops(
    rng: np.random.Generator,
    number: int,
    height: int,
    width: int,
    scale: Tuple[float, float],
    ratio: Tuple[float, float],
) -> np.ndarray:
    """Many crops of images of one size, distributed as torchvision's ``RandomResizedCrop``.

    Args:
        rng (np.random.Generator): Source of all randomness.
        number (int): How many.
        height (int): Height of the images in px.
        width (int): Width of the images in px.
        scale (tuple[float, float]): Range of the area, see
            :func:`~mssl_plugins.datasets.transforms.geometry.random_resized_crop`.
        ratio (tuple[float, float]): Range of width / height, see there.

    Returns:
        np.ndarray: (number, 4) int64, x0, y0, x1, y1 in px.
    """
    area = height * width * rng.uniform(*scale, (number, TRIES))
    aspect = np.exp(rng.uniform(*np.log(ratio), (number, TRIES)))
    w, h = (np.round(np.sqrt(side)).astype(np.int64) for side in (area * aspect, area / aspect))
    fits = (0 < w) & (w <= width) & (0 < h) & (h <= height)
    first, every = fits.argmax(1), np.arange(number)
    w, h, none = w[every, first], h[every, first], ~fits.any(1)
    x0, y0 = (rng.integers(np.where(none, 1, room + 1)) for room in (width - w, height - h))
    if none.any():  # the largest central crop with an allowed ratio
        most_w, most_h = width, height
        if width / height < ratio[0]:
            most_h = min(round(width / ratio[0]), height)
        elif width / height > ratio[1]:
            most_w = min(round(height * ratio[1]), width)
        w[none], h[none] = most_w, most_h
        x0[none], y0[none] = (width - most_w) // 2, (height - most_h) // 2
    return np.stack([x0, y0, x0 + w, y0 + h], 1)


def resampling(
    start: Tensor, end: Tensor, side: int, size: int, interpolation: str, crop: str
) -> Tensor:
    """Matrices that cut [start, end) out of an axis and resize it, antialiased.

    Args:
        start (Tensor): (B,) in px of the axis; beyond it lies black.
        end (Tensor): (B,) likewise.
        side (int): Length of the axis in px.
        size (int): Length of the result in px.
        interpolation (str): 'bilinear' or 'bicubic'.
        crop (str): Of the view group; 'pad' keeps the resolution.

    Returns:
        Tensor: (B, size, side).
    """
    pixels = torch.arange(side, device=start.device)
    if crop == 'pad':
        places = start[:, None, None] + torch.arange(size, device=start.device)[:, None]
        return (pixels == places).float()
    scale = (end - start).float()[:, None, None] / size
    centers = torch.arange(size, device=start.device)[:, None] + 0.5
    # of the crop's own pixels alone, as of an image that was cut out before
    away = start[:, None, None] + centers * scale - (pixels + 0.5)
    weights = _filter(away / scale.clamp(min=1), interpolation)
    weights *= (pixels >= start[:, None, None]) & (pixels < end[:, None, None])
    return weights / weights.sum(-1, keepdim=True)


def _filter(x: Tensor, interpolation: str) -> Tensor:
    """Pillow's filters: the triangle, and Keys' cubic of a = -0.5."""
    x = x.abs()
    if interpolation == 'bilinear':
        return (1 - x).clamp(min=0)
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))


# ---------------------------------------------------------------------- color
def luma(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W), ITU-R 601."""
    red, green, blue = x.split(1, 1)
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _brightness(x: Tensor, factor: Tensor) -> Tensor:
    return (factor * x).clamp_(0, 255)


def _contrast(x: Tensor, factor: Tensor) -> Tensor:
    mean = luma(x).mean((2, 3), keepdim=True).add_(0.5).floor_()
    return (factor * x).add_((1 - factor) * mean).clamp_(0, 255)


def _saturation(x: Tensor, factor: Tensor) -> Tensor:
    return (factor * x).add_((1 - factor) * luma(x)).clamp_(0, 255)


def _hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue in HSV, by whole 256ths of the circle as the photometric transform does."""
    red, green, blue = x.split(1, 1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # hue in sixths of the circle; without chroma any will do
    per_chroma = chroma.clamp(min=1e-3).reciprocal_()
    of_blue = (red - green).mul_(per_chroma).add_(4)
    of_green = (blue - red).mul_(per_chroma).add_(2)
    of_red = (green - blue).mul_(per_chroma)
    hue = torch.where(value == red, of_red, torch.where(value == green, of_green, of_blue))
    hue += 6 / 256 * (turn * 255).trunc()
    hue -= (hue / 6).floor_().mul_(6)
    # a channel falls from the value by the chroma, a sixth of the circle away from its own
    out = torch.empty_like(x)
    red, green, blue = out.split(1, 1)
    torch.sub(hue, 3, out=red).abs_().neg_().add_(2)
    torch.sub(hue, 2, out=green).abs_().sub_(1)
    torch.sub(hue, 4, out=blue).abs_().sub_(1)
    return out.clamp_(0, 1).mul_(chroma).neg_().add_(value)


OPERATIONS = (_brightness, _contrast, _saturation, _hue)  # in the order of Photometric.ranges


def blur_kernels(sigma: np.ndarray, passes: int = 3) -> np.ndarray:
    """:func:`~mssl_plugins.datasets.transforms.photometric.blur_kernel` of many, untrimmed.

    Args:
        sigma (np.ndarray): (N,) in px, >= 0.
        passes (int): See there.

    Returns:
        np.ndarray: (N, L) of sum 1, L odd.
    """
    var = sigma**2 / passes
    half = ((np.sqrt(12 * var + 1) - 1) / 2).astype(np.int64)
    alpha = (2 * half + 1) * (half * (half + 1) - 3 * var) / (6 * (var - (half + 1) ** 2))
    widest = int(half.max()) + 1
    away = np.abs(np.arange(-widest, widest + 1))
    box = np.where(away <= half[:, None], 1.0, 0.0)
    box = np.where(away == half[:, None] + 1, alpha[:, None], box)
    box /= box.sum(1, keepdims=True)
    kernel = box
    for _ in range(passes - 1):
        wide = np.zeros((len(box), kernel.shape[1] + box.shape[1] - 1))
        for i in range(box.shape[1]):
            wide[:, i : i + kernel.shape[1]] += kernel * box[:, i : i + 1]
        kernel = wide
    return kernel


def blurring(sigma: np.ndarray, size: int, device) -> Tensor:
    """Matrices that blur an axis, its ends repeated: (N, size, size)."""
    kernels = torch.as_tensor(blur_kernels(sigma), dtype=torch.float32, device=device)
    reach = kernels.shape[1] // 2
    taken = torch.arange(size, device=device)[:, None] + torch.arange(
        -reach, reach + 1, device=device
    )
    matrix = torch.zeros(len(sigma), size, size, device=device)
    taken = taken.clamp(0, size - 1).expand(len(sigma), -1, -1)
    return matrix.scatter_add_(2, taken, kernels[:, None].expand(-1, size, -1))


class Draws(NamedTuple):
    """The photometric parameters of N views; see :class:`Photometric`.

    Attributes:
        jitter (np.ndarray): (N,) bool.
        order (np.ndarray): (N, 4) integers, which operation comes when.
        factors (np.ndarray): (N, 4), of each operation.
        gray, blur, solarize (np.ndarray): (N,) bool.
        sigma (np.ndarray): (N,) px.
    """

    jitter: np.ndarray
    order: np.ndarray
    factors: np.ndarray
    gray: np.ndarray
    blur: np.ndarray
    sigma: np.ndarray
    solarize: np.ndarray


def draw(settings: Photometric, rng: np.random.Generator, number: int) -> Draws:
    """The parameters of ``number`` views.

    Args:
        settings (Photometric): Ranges and probabilities.
        rng (np.random.Generator): Source of all randomness.
        number (int): N.
    """
    jitter, gray, blur, solarize = (
        rng.random(number) < p
        for p in (settings.jitter_p, settings.gray_p, settings.blur_p, settings.solarize_p)
    )
    lows, highs = zip(*(pair or (math.nan, math.nan) for _, pair in settings.ranges))
    return Draws(
        jitter,
        rng.random((number, 4)).argsort(1),
        rng.random((number, 4)) * (np.array(highs) - lows) + lows,
        gray,
        blur,
        rng.uniform(*settings.sigma, number),
        solarize,
    )


def augment(views: Tensor, drawn: Draws, settings: Photometric) -> Tensor:
    """Color jitter, gray, blur and solarize of N views, (N, 3, S, S) in 0-255, in place."""

    def where(mask: np.ndarray) -> Tensor:
        return torch.from_numpy(np.flatnonzero(mask)).to(views.device)

    factors = torch.from_numpy(drawn.factors).to(views)[..., None, None, None]  # (N, 4, 1, 1, 1)
    used = [i for i, (_, pair) in enumerate(settings.ranges) if pair]
    for place in range(4 if drawn.jitter.any() else 0):
        for i in used:
            which = where(drawn.jitter & (drawn.order[:, place] == i))
            if len(which):
                views[which] = OPERATIONS[i](views[which], factors[which, i])
    which = where(drawn.gray)
    if len(which):
        views[which] = luma(views[which]).expand(-1, 3, -1, -1)
    which = where(drawn.blur)
    if len(which):
        down, across = (
            blurring(drawn.sigma[drawn.blur], side, views.device)[:, None]
            for side in views.shape[2:]
        )
        views[which] = down @ views[which] @ across.mT
    which = where(drawn.solarize)
    if len(which):
        chosen = views[which]
        views[which] = torch.where(chosen < settings.threshold - 0.5, chosen, 255 - chosen)
    return views


# ----------------------------------------------------------------- the program
class BatchViews:
    """Random views of a batch of images of one size, on their device.

    Args:
        views (Sequence[dict]): As of :class:`Views`.

    Raises:
        ValueError: As :class:`Views` does.

    Example:
        >>> views = BatchViews([dict(num=2, size=32, jitter=dict(brightness=0.4))])
        >>> [view.shape for view in views(torch.zeros(8, 3, 32, 32, dtype=torch.uint8))]
        [torch.Size([8, 3, 32, 32]), torch.Size([8, 3, 32, 32])]
    """

    def __init__(self, views: Sequence[dict]) -> None:
        self.groups: List[ViewGroup] = Views(views).groups

    def draw_geometry(
        self, rng: np.random.Generator, number: int, height: int, width: int
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Crops (V, number, 4) in px and flips (V, number) of all views."""
        boxes, flips = [], []
        for group in self.groups:
            if group.crop == 'pad':
                group.draw_box(rng, height, width)  # refuses an image that is too small
                view = height_width(group.size)[::-1]
                room = np.array([width, height]) + 2 * group.padding - view
                start = rng.integers(room + 1, size=(number, 2)) - group.padding
                box = np.concatenate([start, start + view], 1)
            else:
                box = random_resized_crops(rng, number, height, width, group.scale, group.ratio)
            boxes.append(box)
            flips.append(rng.random(number) < group.flip)
        return np.stack(boxes), np.stack(flips)

    def __call__(self, images: Tensor, samples: Optional[Sequence] = None) -> List[Tensor]:
        """Views of a batch.

        Args:
            images (Tensor): (B, 3, H, W) in 0-255.
            samples (Sequence, optional): B data samples, which take
                ``view_boxes``, ``view_flips`` and, from ``gt_bboxes`` and
                ``segments``, what :func:`carry` makes of them.

        Returns:
            list[Tensor]: V of them, each (B, 3, S, S) float32 in 0-255, or of
            its height and width.
        """
        rng, (height, width) = batch_rng(samples), images.shape[2:]
        boxes, flips = self.draw_geometry(rng, len(images), height, width)
        pixels, views = images.float(), []
        for group, box, flip in zip(self.groups, boxes, flips):
            x0, y0, x1, y1 = torch.from_numpy(box.T).to(images.device)
            how = (group.interpolation, group.crop)
            view_height, view_width = height_width(group.size)
            rows = resampling(y0, y1, height, view_height, *how)  # (B, S, H)
            columns = resampling(x0, x1, width, view_width, *how)  # (B, S, W)
            turned = torch.from_numpy(flip).to(images.device)[:, None, None]
            columns = torch.where(turned, columns.flip(1), columns)
            view = rows[:, None] @ pixels @ columns.mT[:, None]
            if group.interpolation == 'bicubic':
                view.clamp_(0, 255)  # the cubic overshoots
            drawn = draw(group.photometric, rng, len(images))
            views.append(augment(view, drawn, group.photometric))
        for i, sample in enumerate(samples or ()):
            self._carry(sample, height, width, boxes[:, i], flips[:, i])
        return views

    def _carry(self, sample, height: int, width: int, boxes: np.ndarray, flips: np.ndarray):
        """Gives a data sample the geometry of its views."""
        results = {
            key: np.asarray(sample.get(key))
            for key in ('gt_bboxes', 'segments')
            if sample.get(key) is not None
        }
        given = set(results)
        carry(results, height, width, boxes, flips, [group.size for group in self.groups])
        for key in set(results) - given:
            sample.set_field(tensors(results[key]), key)
