"""Crops of a whole batch, and a matrix for each sample that crops and resizes it."""

import functools
from typing import Optional, Tuple

import numpy as np
import torch
from torch import Tensor

TRIES = 10  # to place a random crop, as in torchvision
TABLE = 2**24  # bytes of the matrices that are kept of an axis, if all its crops fit: 32 px do


def random_resized_crops(
    rng: np.random.Generator,
    number: int,
    height: int,
    width: int,
    scale: Tuple[float, float],
    ratio: Tuple[float, float],
) -> np.ndarray:
    """Crops of many images of one size, with torchvision's ``RandomResizedCrop`` distribution.

    Args:
        rng (np.random.Generator): Source of all randomness.
        number (int): How many images.
        height (int): Height of the images in px.
        width (int): Width of the images in px.
        scale (tuple[float, float]): Range of the area, see
            :func:`~mssl_plugins.datasets.transforms.geometry.random_resized_crop`.
        ratio (tuple[float, float]): Range of width / height, see the same.

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
    start: Tensor,
    end: Tensor,
    flip: Optional[Tensor],
    side: int,
    size: int,
    interpolation: str,
    crop: str,
) -> Tensor:
    """Matrices that cut [start, end) out of an axis and resize it, antialiased.

    Args:
        start (Tensor): (B,) int64 in px of the axis; with 'pad' it may lie outside, where
            the result is black.
        end (Tensor): (B,) int64 in px, above ``start`` and at most ``side`` but for 'pad'.
        flip (Tensor, optional): (B,) bool, whether the result is reversed; None: never.
        side (int): Length of the axis in px.
        size (int): Length of the result in px.
        interpolation (str): 'bilinear' or 'bicubic'.
        crop (str): ``crop`` of the view group; 'pad' does not resize.

    Returns:
        Tensor: (B, size, side).
    """
    if crop == 'pad':
        pixels = torch.arange(side, device=start.device)
        return (pixels == start[:, None, None] + _places(size, flip, start.device)).float()
    ends = side + 1
    if 8 * ends**2 * size * side > TABLE:
        return _antialiased(start, end, flip, side, size, interpolation)
    crops = start * ends + end
    if flip is not None:
        crops += flip * ends**2
    return _every_crop(side, size, interpolation, start.device).index_select(0, crops)


@functools.lru_cache(maxsize=8)
def _every_crop(side: int, size: int, interpolation: str, device: torch.device) -> Tensor:
    """(2 (side + 1)^2, size, side): for every start and end, as it is and reversed."""
    ends = torch.arange(side + 1, device=device)
    flip, start, end = torch.cartesian_prod(torch.arange(2, device=device), ends, ends).T
    end = torch.maximum(end, start + 1)  # the rows of other ends are not asked for
    return _antialiased(start, end, flip > 0, side, size, interpolation)


def _places(size: int, flip: Optional[Tensor], device: torch.device) -> Tensor:
    """Pixels of the result, (size, 1), or (B, size, 1) if some are reversed."""
    places = torch.arange(size, device=device)[:, None]
    return places if flip is None else torch.where(flip[:, None, None], size - 1 - places, places)


def _antialiased(
    start: Tensor, end: Tensor, flip: Optional[Tensor], side: int, size: int, interpolation: str
) -> Tensor:
    """The matrices of :func:`resampling` by their formula."""
    pixels = torch.arange(side, device=start.device)
    places = _places(size, flip, start.device)
    start, end = start[:, None, None], end[:, None, None]
    scale = (end - start).float() / size
    # distances in units of the filter, which is as wide as a pixel of the larger grid
    wide = scale.clamp(min=1)
    place = (start + (places + 0.5) * scale) / wide
    pixel = (pixels + 0.5) / wide
    # Only the crop's own pixels count, as if it had been cut out first.
    pixel = torch.where((pixels >= start) & (pixels < end), pixel, torch.inf)
    weights = _filter(place - pixel, interpolation)
    return weights.div_(weights.sum(-1, keepdim=True))


def separable(rows: Tensor, x: Tensor, columns: Tensor) -> Tensor:
    """Applies a matrix for each sample along rows and another one along columns.

    Args:
        rows (Tensor): (N, S, H).
        x (Tensor): (N, C, H, W).
        columns (Tensor): (N, T, W).

    Returns:
        Tensor: (N, C, S, T).
    """
    number, channels, height, width = x.shape
    x = x.transpose(1, 2).reshape(number, height, channels * width)  # one product for all channels
    x = torch.bmm(rows, x).view(number, -1, width)  # (N, S C, W)
    return torch.bmm(x, columns.mT).view(number, -1, channels, len(columns[0])).transpose(1, 2)


def _filter(x: Tensor, interpolation: str) -> Tensor:
    """Pillow's filters up to a factor: the triangle, and Keys' cubic of a = -0.5."""
    x = x.abs_()
    if interpolation == 'bilinear':
        return x.sub_(1).clamp_(max=0)  # minus the triangle: their sum has the same sign
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, inner, torch.where(x < 2, outer, 0.0))
