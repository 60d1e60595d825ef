"""Color jitter, gray, blur and solarize of a whole batch of views, in floating point."""

import math
from typing import NamedTuple, Sequence

import numpy as np
import torch
from torch import Tensor

from mssl_plugins.datasets.transforms.batch_geometry import separable
from mssl_plugins.datasets.transforms.photometric import LUMA, Photometric

CONTRAST, SATURATION, HUE = 1, 2, 3  # indices of Photometric.ranges; 0 is brightness


def luma(x: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W), ITU-R 601; outside of autocast."""
    weights = x.new_tensor([LUMA.tolist()]).expand(len(x), -1, -1)
    return torch.bmm(weights, x.flatten(2)).view(-1, 1, *x.shape[2:])  # one pass, not three


def blend_weights(kind: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The weights that :func:`blend` gives a view, its luma and its rounded mean luma.

    Args:
        kind (np.ndarray): Which operation, an index of ``Photometric.ranges``.  Brightness
            blends with black, contrast with the mean luma, saturation with the luma.
        factor (np.ndarray): Of the same shape; 1 leaves a view as it is.

    Returns:
        np.ndarray: (3, ...).
    """
    rest = 1 - factor
    return np.stack([factor, rest * (kind == SATURATION), rest * (kind == CONTRAST)])


def blend(x: Tensor, weights: Tensor) -> Tensor:
    """Brightness, contrast or saturation of each view: ``factor x + (1 - factor) reference``.

    Args:
        x (Tensor): (N, 3, H, W) in 0-255, changed in place.
        weights (Tensor): (3, N, 1, 1, 1), those of the view itself, of its luma, and of its
            rounded mean luma.

    Returns:
        Tensor: ``x``.
    """
    own, of_luma, of_mean = weights
    gray = luma(x)
    of_mean = gray.mean((2, 3), keepdim=True).add_(0.5).floor_().mul_(of_mean)
    return torch.addcmul(gray.mul_(of_luma).add_(of_mean), x, own, out=x).clamp_(0, 255)


def turns_of(factor: np.ndarray) -> np.ndarray:
    """Whole 256ths of the circle, as the photometric transform takes them, and one turn more."""
    return np.trunc(factor * 255) / 256 + 1


def turn_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turns the hue in HSV; the result is in 0-255 up to rounding.

    Args:
        x (Tensor): (N, 3, H, W) in 0-255, changed in place.
        turn (Tensor): (N, 1, 1, 1) in turns of the circle, not negative.

    Returns:
        Tensor: ``x``.
    """
    red, green, blue = x.split(1, 1)
    high, low = torch.maximum(green, blue), torch.minimum(green, blue)
    value, middle = torch.maximum(red, high), torch.minimum(red, high)
    chroma = value - torch.minimum(middle, low)
    # 1 where blue is above green, and where red is not the value; torch.where would be slower
    blue_first, not_red = high.sub_(green).sign_(), (value - red).sign_()
    # hue in turns of the circle; without chroma any will do
    swapped = torch.sub(blue_first, 1 / 6).mul_(2)
    hue = blue_first.addcmul_(not_red, swapped, value=-1)
    hue.addcdiv_(middle.sub_(low), chroma.clamp(min=1e-3), value=-1 / 6).abs_()
    hue.add_(turn).frac_()
    # A channel falls from the value by the chroma, a sixth of the circle away from its own hue;
    # red is farthest from the circle's middle.
    torch.sub(hue, hue.new_tensor([[[3 / 6]], [[2 / 6]], [[4 / 6]]]), out=x)
    x.abs_().clamp_(1 / 6, 2 / 6)
    torch.addcmul(value + chroma, x[:, 1:], chroma, value=-6, out=x[:, 1:])
    torch.addcmul(value.sub_(chroma, alpha=2), red, chroma, value=6, out=red)
    return x


def blur_kernels(sigma: np.ndarray, passes: int = 3) -> np.ndarray:
    """The kernels of many :func:`~mssl_plugins.datasets.transforms.photometric.blur_kernel`.

    Args:
        sigma (np.ndarray): (N,) standard deviations in px, >= 0.
        passes (int): How many boxes. Defaults to 3, as in Pillow.

    Returns:
        np.ndarray: (N, L), L odd, with tails; each row has sum 1.
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
    """Matrices (N, size, size) that blur an axis of ``size`` px, its border pixels repeated.

    Args:
        sigma (np.ndarray): (N,) standard deviations in px, >= 0.
        size (int): Length of the axis in px.
        device (torch.device): Where the matrices are.
    """
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
        order (np.ndarray): (N, 4) integers, the operations in their order.
        factors (np.ndarray): (N, 4), the factor of each operation.
        gray, blur, solarize (np.ndarray): (N,) bool.
        sigma (np.ndarray): (N,) standard deviations of the blur in px.
    """

    jitter: np.ndarray
    order: np.ndarray
    factors: np.ndarray
    gray: np.ndarray
    blur: np.ndarray
    sigma: np.ndarray
    solarize: np.ndarray

    def of(self, rows: slice) -> 'Draws':
        """Those of some of the views."""
        return Draws(*(values[rows] for values in self))


def draw(settings: Photometric, rng: np.random.Generator, number: int) -> Draws:
    """Draws the parameters of ``number`` views.

    Args:
        settings (Photometric): Ranges and probabilities.
        rng (np.random.Generator): Source of all randomness.
        number (int): N.

    Returns:
        Draws: Of N views.
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


def jitter(views: Tensor, drawn: Draws, used: Sequence[int]) -> Tensor:
    """Color jitter of views, each with its own order of operations.

    All operations but hue are one blend.  The views are sorted by the place of hue in
    their order, so that at each place hue changes one slice, and a blend those beside it.

    Args:
        views (Tensor): (N, 3, H, W) floating point in 0-255; not changed.
        drawn (Draws): Which views, in which order, by which factors.
        used (Sequence[int]): Indices of the operations that there are.

    Returns:
        Tensor: (N, 3, H, W), in the order of ``views``.
    """
    place_of_hue = np.where(drawn.jitter, drawn.order.argmax(1), 4)
    rows = place_of_hue.argsort(kind='stable')
    ends = np.searchsorted(place_of_hue[rows], range(5))
    order = drawn.order[rows].T  # (4, N), of each place
    factors = np.where(np.isin(range(4), used), drawn.factors, 1.0)[rows].T
    own = np.take_along_axis(factors, order, 0)
    views = views.index_select(0, torch.from_numpy(rows).to(views.device))
    weights, turns = (  # all at once, because each conversion has its price
        torch.from_numpy(numbers).to(views)[..., None, None, None]
        for numbers in (blend_weights(order, own), turns_of(factors[HUE]))
    )
    for place in range(4):
        before, after = ends[place], ends[place + 1]
        if HUE in used and before < after:
            turn_hue(views[before:after], turns[before:after])
        for part in (slice(0, before), slice(after, ends[4])):
            if part.start < part.stop:
                blend(views[part], weights[:, place, part])
    return views.index_select(0, torch.from_numpy(rows.argsort()).to(views.device))


def augment(views: Tensor, drawn: Draws, settings: Photometric) -> Tensor:
    """Applies color jitter, gray, blur and solarize to views.

    Args:
        views (Tensor): (N, 3, H, W) floating point in 0-255; may be changed in place.
        drawn (Draws): Of these views.
        settings (Photometric): Which operations there are.

    Returns:
        Tensor: (N, 3, H, W) in 0-255.
    """

    def where(mask: np.ndarray) -> Tensor:
        return torch.from_numpy(np.flatnonzero(mask)).to(views.device)

    used = [i for i, (_, pair) in enumerate(settings.ranges) if pair]
    if used and drawn.jitter.any():
        views = jitter(views, drawn, used)
    which = where(drawn.gray)
    if len(which):
        views.index_copy_(0, which, luma(views[which]).repeat(1, 3, 1, 1))
    which = where(drawn.blur)
    if len(which):
        down, across = (
            blurring(drawn.sigma[drawn.blur], side, views.device) for side in views.shape[2:]
        )
        views[which] = separable(down, views[which], across)
    which = where(drawn.solarize)
    if len(which):
        chosen = views[which]
        views[which] = torch.where(chosen < settings.threshold - 0.5, chosen, 255 - chosen)
    return views
