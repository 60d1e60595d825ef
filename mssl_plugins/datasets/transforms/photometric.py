"""Photometric augmentations on uint8 RGB arrays, drawn from one generator.

What MoCo v2 (Chen et al., 2020, sec. 3), SimCLR (Chen et al., 2020, appendix
A) and DINO (Caron et al., 2021, sec. 3.2 and appendix B) call color jitter,
gray, blur and solarize, with the distributions of torchvision's transforms and the
pixels of Pillow's operations, written as OpenCV calls:

- brightness and contrast scale all channels alike (:func:`cv2.addWeighted`),
  saturation is one 3 x 4 color matrix (:func:`cv2.transform`);
- blur is Pillow's: three passes of the extended box filter of Gwosdek et al.,
  "Theoretical Foundations of Gaussian Convolution by Extended Box Filtering"
  (2011), here as the one separable kernel that they amount to.

Against Pillow at equal parameters, on photos, the mean difference is below
one level of 255 (tests/datasets/transforms/test_photometric.py).  Each
operation rounds and clips by itself, as in Pillow, so they are not merged
further.
"""

import functools
import math
from typing import Callable, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from mssl_plugins.errors import unknown

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601, as Pillow's 'L'
# OpenCV rounds to nearest where Pillow's blend truncates; the small rest
# keeps whole numbers whole in the 10-bit fixed point of cv2.transform.
TRUNCATE = 1 / 64 - 0.5
IDENTITY = np.eye(3, 4, dtype=np.float32)
TO_GRAY = np.zeros((3, 4), np.float32)
TO_GRAY[:, :3] = LUMA
IDENTITY[:, 3] = TO_GRAY[:, 3] = TRUNCATE


def adjust_brightness(img: np.ndarray, factor: float) -> np.ndarray:
    """Blend with black: ``factor * img``.

    Args:
        img (np.ndarray): uint8 RGB image of shape (H, W, 3).
        factor (float): 0 is black, 1 the image itself.

    Returns:
        np.ndarray: uint8 of the same shape.
    """
    return _scale(img, factor, 0.0)


def adjust_contrast(img: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the mean luma of the image, or the mean of its channels, rounded as Pillow does.

    Args:
        img (np.ndarray): uint8 RGB image of shape (H, W, 3).
        factor (float): 0 is uniform gray, 1 the image itself.

    Returns:
        np.ndarray: uint8 of the same shape.
    """
    if img.dtype == np.uint8 and img.shape[2] == 3:
        mean = int(LUMA @ cv2.mean(img)[:3] + 0.5)
    else:
        mean = int(img.mean() + 0.5)
    return _scale(img, factor, (1 - factor) * mean)


def _scale(img: np.ndarray, factor: float, shift: float) -> np.ndarray:
    """``factor * img + shift``, clipped."""
    if factor == 1:
        return img
    return cv2.addWeighted(img, factor, img, 0, shift + TRUNCATE).reshape(img.shape)


def adjust_saturation(img: np.ndarray, factor: float) -> np.ndarray:
    """Blend with the gray image.

    Args:
        img (np.ndarray): uint8 RGB image of shape (H, W, 3).
        factor (float): 0 is gray, 1 the image itself.

    Returns:
        np.ndarray: uint8 of the same shape.
    """
    if factor == 1:
        return img
    return cv2.transform(img, factor * IDENTITY + (1 - factor) * TO_GRAY)


def adjust_hue(img: np.ndarray, shift: float) -> np.ndarray:
    """Turn the hue, in HSV with 256 hues.

    Args:
        img (np.ndarray): uint8 RGB image of shape (H, W, 3).
        shift (float): In turns of the color circle, -0.5 to 0.5.

    Returns:
        np.ndarray: uint8 of the same shape.
    """
    steps = int(shift * 255)
    if steps == 0:
        return img
    hsv = cv2.cvtColor(img, cv2.COLOR_RGB2HSV_FULL)
    # Whole rows at once are faster than the strided channel; uint8 wraps
    # around, as a hue should.
    rows = hsv.reshape(len(hsv), -1)
    rows += np.tile(np.array([steps % 256, 0, 0], np.uint8), hsv.shape[1])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL, dst=hsv)


def gray(img: np.ndarray) -> np.ndarray:
    """Three equal channels of ITU-R 601 luma.

    Args:
        img (np.ndarray): uint8 RGB image of shape (H, W, 3).

    Returns:
        np.ndarray: uint8 of the same shape.
    """
    return cv2.cvtColor(cv2.cvtColor(img, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def solarize(img: np.ndarray, threshold: int = 128) -> np.ndarray:
    """Invert every value from the threshold up.

    Args:
        img (np.ndarray): uint8 image of any shape.
        threshold (int): 0-256. Defaults to 128.

    Returns:
        np.ndarray: uint8 of the same shape.
    """
    table = np.arange(256, dtype=np.uint8)
    return cv2.LUT(img, np.where(table < threshold, table, 255 - table))


def blur(img: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur as ``PIL.ImageFilter.GaussianBlur(radius=sigma)``.

    Args:
        img (np.ndarray): uint8 image of shape (H, W, 3).
        sigma (float): Standard deviation in px, not negative.

    Returns:
        np.ndarray: uint8 of the same shape.
    """
    kernel = blur_kernel(sigma)
    if len(kernel) == 1:
        return img
    out = cv2.sepFilter2D(img, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    return out.reshape(img.shape)


def blur_kernel(sigma: float, passes: int = 3) -> np.ndarray:
    """Extended box filter applied ``passes`` times, of variance sigma².

    A box of 2l + 1 px gets two edge pixels of weight alpha so that its
    variance is exactly sigma² / passes (Gwosdek et al. 2011, eq. 13-14).

    Args:
        sigma (float): Standard deviation in px.
        passes (int): How many boxes. Defaults to 3, as in Pillow.

    Returns:
        np.ndarray: float32 weights, an odd number of them, with sum 1. Tails
        that cannot change a value by half a level are cut off.
    """
    var = sigma**2 / passes
    half = int((math.sqrt(12 * var + 1) - 1) / 2)
    alpha = (2 * half + 1) * (half * (half + 1) - 3 * var) / (6 * (var - (half + 1) ** 2))
    box = np.ones(2 * half + 3)
    box[[0, -1]] = alpha
    box /= box.sum()
    kernel = functools.reduce(np.convolve, [box] * passes)
    while len(kernel) > 1 and 2 * 255 * kernel[0] < 0.5:
        kernel = kernel[1:-1]
    return (kernel / kernel.sum()).astype(np.float32)


def factor_range(
    value: Union[float, Sequence[float]], name: str, center: float = 1.0
) -> Optional[Tuple[float, float]]:
    """A jitter strength as a range of factors, torchvision's reading.

    Args:
        value (float | Sequence[float]): A strength s gives
            (max(0, 1 - s), 1 + s), for the hue (-s, s); a pair is the range.
        name (str): For error messages: brightness, contrast, saturation or hue.
        center (float): The factor that changes nothing. Defaults to 1.

    Returns:
        tuple[float, float] | None: None where the range holds the center only.

    Raises:
        ValueError: For a negative strength, a pair out of order, or a hue
            beyond half a turn.
    """
    low, high = (-0.5, 0.5) if name == 'hue' else (0.0, math.inf)
    if np.ndim(value) == 0:
        if value < 0:
            raise ValueError(f'jitter {name}={value}: a strength is >= 0')
        pair = (max(low, center - value) if name != 'hue' else -value, center + value)
    else:
        pair = tuple(map(float, value))
    if len(pair) != 2 or not low <= pair[0] <= pair[1] <= high:
        raise ValueError(
            f'jitter {name}={value}: allowed are ranges within [{low}, {high}], low <= high'
        )
    return None if pair == (center, center) else pair


JITTER = dict(
    brightness=adjust_brightness,
    contrast=adjust_contrast,
    saturation=adjust_saturation,
    hue=adjust_hue,
)


# Keys of the options of Photometric, and their types.
STRENGTH = Union[float, Sequence[float]]
OPTIONS = dict(
    jitter=dict(p=float, **dict.fromkeys(JITTER, STRENGTH)),
    blur=dict(p=float, sigma=STRENGTH),
    solarize=dict(p=float, threshold=int),
)


OFF = 'jitter saturation=0 and hue=0, gray=0, solarize=None'


class Photometric:
    """Color jitter, gray, blur and solarize, in this order, each with its probability.

    Args:
        jitter (dict, optional): ``brightness``, ``contrast``, ``saturation``,
            ``hue`` (strengths or ranges, as in torchvision's ``ColorJitter``;
            applied in random order) and the probability ``p``, 1 if not
            given. Defaults to None.
        gray (float): Probability. Defaults to 0.
        blur (dict, optional): Probability ``p`` (1 if not given) and
            ``sigma``, the range in px of a uniform draw. Defaults to None.
        solarize (dict, optional): Probability ``p`` (1 if not given) and
            ``threshold``, 128 if not given. Defaults to None.

    Raises:
        ValueError: For unknown keys and values out of range.

    Example:
        >>> import numpy as np
        >>> light = Photometric(gray=0.2, blur=dict(p=0.5, sigma=(0.1, 2.)))
        >>> img = np.zeros((8, 8, 3), np.uint8)
        >>> light(img, np.random.default_rng(0)).shape
        (8, 8, 3)
    """

    def __init__(
        self,
        jitter: Optional[dict] = None,
        gray: float = 0.0,
        blur: Optional[dict] = None,
        solarize: Optional[dict] = None,
    ) -> None:
        jitter = _options('jitter', jitter, **dict.fromkeys(JITTER, 0.0))
        blur = _options('blur', blur, sigma=(0.1, 2.0))
        solarize = _options('solarize', solarize, threshold=128)
        self.jitter_p = jitter['p']
        self.ranges = [
            (op, factor_range(jitter[name], name, 0.0 if name == 'hue' else 1.0))
            for name, op in JITTER.items()
        ]
        self.gray_p = probability(gray, 'gray')
        self.blur_p = blur['p']
        self.sigma = tuple(map(float, np.broadcast_to(blur['sigma'], 2)))
        if not 0 <= self.sigma[0] <= self.sigma[1]:
            raise ValueError(
                f'blur sigma={blur["sigma"]}: allowed are ranges of px with 0 <= low <= high'
            )
        self.solarize_p = solarize['p']
        self.threshold = solarize['threshold']
        used = dict(zip(JITTER, (self.jitter_p and pair for _, pair in self.ranges)))
        used = dict(
            saturation=used['saturation'],
            hue=used['hue'],
            gray=self.gray_p,
            solarize=self.solarize_p,
        )
        self.color = [name for name, on in used.items() if on]  # defined for 8-bit RGB only

    def draw(self, rng: np.random.Generator) -> List[Tuple[Callable, tuple]]:
        """The operations of one view, in order.

        Args:
            rng (np.random.Generator): Source of all randomness.

        Returns:
            list[tuple[Callable, tuple]]: (function, its arguments after the
            image).
        """
        ops = []
        if self.jitter_p and rng.random() < self.jitter_p:
            for i in rng.permutation(4):
                op, pair = self.ranges[i]
                if pair:
                    ops.append((op, (rng.uniform(*pair),)))
        if self.gray_p and rng.random() < self.gray_p:
            ops.append((gray, ()))
        if self.blur_p and rng.random() < self.blur_p:
            ops.append((blur, (rng.uniform(*self.sigma),)))
        if self.solarize_p and rng.random() < self.solarize_p:
            ops.append((solarize, (self.threshold,)))
        return ops

    def __call__(self, img: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augments one image.

        Args:
            img (np.ndarray): (H, W, 3) uint8 RGB, or (H, W, C) uint8 or uint16.
            rng (np.random.Generator): Source of all randomness.

        Returns:
            np.ndarray: Of the same shape and type.

        Raises:
            ValueError: If an operation for 8-bit RGB is asked for of another image.
        """
        if self.color and (img.dtype != np.uint8 or img.shape[2] != 3):
            raise ValueError(
                f'{", ".join(self.color)}: for 8-bit RGB, and this image has {img.shape[2]} '
                f'channels of {8 * img.dtype.itemsize} bits: set {OFF}'
            )
        for op, args in self.draw(rng):
            img = op(img, *args)
        return img


def probability(value: float, what: str) -> float:
    """The value itself, if it is a probability.

    Raises:
        ValueError: If it is not in [0, 1].
    """
    if not 0 <= value <= 1:
        raise ValueError(f'{what}: probability {value} is not in [0, 1]')
    return value


def _options(what: str, given: Optional[dict], **defaults) -> dict:
    """Options with defaults filled in; None becomes p = 0."""
    if given is None:
        return dict(defaults, p=0.0)
    defaults['p'] = 1.0
    for key in given:
        # MMEngine marks the dicts of an inherited config with '_scope_'.
        if key not in defaults and key != '_scope_':
            raise unknown(key, defaults, f'key of {what}')
    options = {**defaults, **given}
    probability(options['p'], what)
    return options
