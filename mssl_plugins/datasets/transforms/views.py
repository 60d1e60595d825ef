"""Views of an image that know their crop and flip.

The multi-view transform of all methods (the two views of MoCo v2, the
multi-crop of SwAV and DINO, the single crop of MAE), with the distributions of
torchvision's ``RandomResizedCrop``, ``RandomCrop``, ``RandomHorizontalFlip``
and of the photometric operations in :mod:`mssl_plugins.datasets.transforms.photometric`.
Each view records its crop box in pixels of the input image and its flip;
boxes and segment label maps are carried into every view
(:mod:`mssl_plugins.datasets.transforms.geometry`).

Everything stays uint8 until the data preprocessor normalizes on the device.
"""

import inspect
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mssl_plugins.datasets.image_io import input_image, printable
from mssl_plugins.datasets.sampler import sample_rng
from mssl_plugins.datasets.transforms.geometry import (
    Size,
    carry,
    height_width,
    random_resized_crop,
    resize,
)
from mssl_plugins.datasets.transforms.photometric import OPTIONS, Photometric, probability
from mssl_plugins.errors import unknown
from mssl_plugins.registry import TRANSFORMS

INTERPOLATIONS = ('bilinear', 'bicubic')


class ViewGroup:
    """A group of views that are drawn alike; arguments as the keys of :class:`Views`.

    Raises:
        ValueError: For a size, range or probability out of order.
    """

    config_parts = OPTIONS

    def __init__(
        self,
        size: Size,
        num: int = 1,
        crop: str = 'random_resized',
        scale: Tuple[float, float] = (0.2, 1.0),
        ratio: Tuple[float, float] = (3 / 4, 4 / 3),
        padding: int = 4,
        interpolation: str = 'bilinear',
        flip: float = 0.5,
        jitter: Optional[dict] = None,
        gray: float = 0.0,
        blur: Optional[dict] = None,
        solarize: Optional[dict] = None,
    ) -> None:
        if crop not in ('random_resized', 'pad'):
            raise unknown(crop, ('random_resized', 'pad'), 'crop')
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(
                f'scale={scale}: allowed are fractions of the area with 0 < low <= high <= 1'
            )
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f'ratio={ratio}: allowed are 0 < low <= high')
        if padding < 0:
            raise ValueError(f'padding={padding}: must be 0 px or more')
        self.size = view_size(size)
        self.num = _positive(num, 'num')
        self.crop, self.scale, self.ratio = crop, scale, ratio
        self.padding = padding
        self.interpolation = _interpolation(interpolation)
        self.flip = probability(flip, 'flip')
        self.photometric = Photometric(jitter, gray, blur, solarize)

    def draw_box(
        self, rng: np.random.Generator, height: int, width: int
    ) -> Tuple[int, int, int, int]:
        """Draws one crop box, x0, y0, x1, y1 in px of the image.

        Raises:
            ValueError: If the image is too small for crop='pad'.
        """
        if self.crop == 'random_resized':
            return random_resized_crop(rng, height, width, self.scale, self.ratio)
        view_height, view_width = height_width(self.size)
        room_y = height + 2 * self.padding - view_height
        room_x = width + 2 * self.padding - view_width
        if min(room_x, room_y) < 0:
            least = ' x '.join(
                str(side - 2 * self.padding) for side in sorted({view_height, view_width})
            )
            raise ValueError(
                f"crop='pad' of {self.size} px needs an image of at least {least} px a side "
                f'with padding {self.padding}, got {height} x {width}'
            )
        y0 = int(rng.integers(room_y + 1)) - self.padding
        x0 = int(rng.integers(room_x + 1)) - self.padding
        return x0, y0, x0 + view_width, y0 + view_height

    def render(
        self, img: np.ndarray, box: Sequence[int], flip: bool, rng: np.random.Generator
    ) -> np.ndarray:
        """Cuts, resizes, flips and augments ``img`` (H, W, C): (height, width, C), same type."""
        x0, y0, x1, y1 = box
        height, width = img.shape[:2]
        view = img[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
        margins = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
        if not view.size:  # all of it lies in the padding
            view = np.zeros((y1 - y0, x1 - x0, img.shape[2]), img.dtype)
        elif any(margins):
            view = cv2.copyMakeBorder(view, *margins, cv2.BORDER_CONSTANT)
            view = view.reshape(*view.shape[:2], -1)
        view = resize(view, height_width(self.size), self.interpolation)
        if flip:
            view = cv2.flip(view, 1).reshape(view.shape)  # flip drops a single channel
        return self.photometric(view, rng)


@TRANSFORMS.register_module()
class Views(BaseTransform):
    """Several random views of an image, with their geometry.

    Required keys: ``img`` ((H, W, 3) uint8 RGB; gray is converted) or
    ``img_path`` (decoded here, once for all views).  With ``channels``, C, the image is
    (H, W, C) uint8 or uint16, and so are its views.  Optional: ``gt_bboxes``
    ((n, 4), x0, y0, x1, y1 in px), ``segments`` ((H, W) integers, 0 = none),
    ``rng`` (the generator to go on with; otherwise
    :func:`~mssl_plugins.datasets.sampler.sample_rng` gives it).

    Changed keys: ``img`` (list of V arrays (S, S, 3) uint8, or of the height and width
    that ``size`` gives).  Added keys:
    ``rng``, ``ori_shape`` (H, W), ``view_boxes`` ((V, 4) float32 crops in px
    of the input image), ``view_flips`` ((V,) bool), and, if their source was
    there, ``view_bboxes``, ``view_bbox_ids`` and ``view_segments``
    (:func:`~mssl_plugins.datasets.transforms.geometry.carry`).

    Args:
        views (Sequence[dict]): Groups of views, in the order of the output.
            The views of a group are drawn alike. Keys of a group:

            - size (int | tuple[int, int]): Side S, or height and width, in px.
              Required. A view that is not square needs a ``ratio`` to match.
            - num (int): Number of views. Defaults to 1.
            - crop (str): 'random_resized', or 'pad' (a crop at full
              resolution out of the image with ``padding`` black px around,
              for small images). Defaults to 'random_resized'.
            - scale, ratio (tuple[float, float]): Of 'random_resized'.
              Default to (0.2, 1) and (3/4, 4/3).
            - padding (int): Of 'pad', in px. Defaults to 4.
            - interpolation (str): 'bilinear' or 'bicubic', antialiased.
              Defaults to 'bilinear'.
            - flip (float): Probability of a left-right flip. Defaults to 0.5.
            - jitter, gray, blur, solarize: See
              :class:`~mssl_plugins.datasets.transforms.photometric.Photometric`. Default to
              none of them.

    Raises:
        ValueError: For unknown keys, sizes or ranges out of order, and an
            image too small for crop='pad'.

    Example:
        >>> import numpy as np
        >>> views = Views([dict(num=2, size=224), dict(num=8, size=96)])
        >>> out = views(dict(img=np.zeros((375, 500, 3), np.uint8)))
        >>> len(out['img']), out['view_boxes'].shape
        (10, (10, 4))
    """

    config_parts = dict(views=ViewGroup)

    def __init__(self, views: Sequence[dict]) -> None:
        allowed = inspect.signature(ViewGroup).parameters
        self.groups: List[ViewGroup] = []
        if isinstance(views, dict) or len(views) == 0:
            raise ValueError(
                'views must be a list of one or more groups such '
                f'as dict(num=2, size=224), got {views!r}'
            )
        for given in views:
            # MMEngine marks the dicts of an inherited config with '_scope_'.
            given = {k: v for k, v in given.items() if k != '_scope_'}
            for key in given:
                if key not in allowed:
                    raise unknown(key, allowed, 'key of a view group')
            if 'size' not in given:
                raise ValueError(f"a view group needs 'size', got {given}")
            group = ViewGroup(**given)
            self.groups += [group] * group.num

    def draw_boxes(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """Draws the crops of all views; to be overridden if they depend on each other.

        Args:
            rng (np.random.Generator): Source of all randomness.
            height (int): Height of the image in px.
            width (int): Width of the image in px.

        Returns:
            np.ndarray: (V, 4) integers, x0, y0, x1, y1 in px.
        """
        return np.array([group.draw_box(rng, height, width) for group in self.groups])

    def transform(self, results: dict) -> dict:
        """Replaces the image by its views; see the class for the keys.

        Raises:
            ValueError: If a view cannot be cut from the image; the message names the file.
        """
        img = input_image(results)
        if results.get('rng') is None:
            results['rng'] = sample_rng(results)
        rng = results['rng']
        height, width = img.shape[:2]
        try:
            boxes = self.draw_boxes(rng, height, width)
        except ValueError as error:
            if not results.get('img_path'):
                raise
            raise ValueError(f'{printable(str(results["img_path"]))}: {error}') from None
        flips = rng.random(len(self.groups)) < [g.flip for g in self.groups]
        carry(results, height, width, boxes, flips, [group.size for group in self.groups])
        results['ori_shape'] = (height, width)
        results['img'] = [
            group.render(img, box, flip, rng)
            for group, box, flip in zip(self.groups, boxes.tolist(), flips)
        ]
        return results

    def __repr__(self) -> str:
        sizes = [group.size for group in self.groups]
        return f'{type(self).__name__}(sizes={sizes})'


@TRANSFORMS.register_module()
class CenterView(BaseTransform):
    """The one deterministic view for k-NN and extraction.

    Resizes the short side and crops the center, as torchvision's ``Resize`` and
    ``CenterCrop`` do.  It uses Pillow, so that the result equals that of timm,
    torchvision and Hugging Face to the last bit, at up to four times the cost.
    Keys as in :class:`Views`, but ``img`` becomes a single (S, S, 3) array, V is
    1, and crop boxes are not whole px.

    Args:
        size (int): Side S of the view in px.
        resize (int, optional): Short side before the cut in px, at least
            ``size``. Defaults to None, which means ``size``.
        interpolation (str): 'bilinear' or 'bicubic'. Defaults to 'bicubic',
            as DINO's and MST's k-NN and every export.

    Raises:
        ValueError: For sizes that are not positive or ``resize < size``.
    """

    def __init__(
        self, size: Size, resize: Optional[int] = None, interpolation: str = 'bicubic'
    ) -> None:
        self.size, self.resize = view_size(size), None
        if isinstance(self.size, int):
            self.resize = _positive(size if resize is None else resize, 'resize')
            if self.resize < size:
                raise ValueError(f'resize={resize} is smaller than size={size}')
        elif resize is not None:
            raise ValueError(f'resize={resize} is for square views, size={self.size} is not')
        self.interpolation = _interpolation(interpolation)

    def transform(self, results: dict) -> dict:
        """Replaces the image by its center; see the class for the keys."""
        img = input_image(results)
        height, width = img.shape[:2]
        view_height, view_width = height_width(self.size)
        if self.resize:
            # Integer arithmetic as in torchvision: the long side rounds down.
            h, w = (self.resize * side // min(height, width) for side in (height, width))
        else:
            scale = max(view_height / height, view_width / width)
            h, w = max(view_height, round(height * scale)), max(view_width, round(width * scale))
        top, left = round((h - view_height) / 2), round((w - view_width) / 2)
        scaled = img
        if (h, w) != img.shape[:2]:
            scaled = self._scale(img, h, w)
        results['img'] = np.ascontiguousarray(
            scaled[top : top + view_height, left : left + view_width]
        )
        box = np.array([[left, top, left + view_width, top + view_height]])
        box = box * [width / w, height / h, width / w, height / h]
        carry(results, height, width, box, np.zeros(1, bool), [self.size])
        results['ori_shape'] = (height, width)
        return results

    def _scale(self, img: np.ndarray, height: int, width: int) -> np.ndarray:
        if img.dtype != np.uint8 or img.shape[2] != 3:
            return resize(img, (height, width), self.interpolation)
        how = Image.Resampling[self.interpolation.upper()]
        return np.asarray(Image.fromarray(img).resize((width, height), how))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size}, resize={self.resize})'


def view_size(size: Size) -> Size:
    """A checked size: a side, or (height, width) where the two differ, in whole px.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(size, (list, tuple)):
        if len(size) != 2:
            raise ValueError(f'size={size}: allowed are a side in px, or (height, width)')
        sides = tuple(_positive(side, 'size') for side in size)
        return sides[0] if sides[0] == sides[1] else sides
    return _positive(size, 'size')


def _positive(value: int, what: str) -> int:
    if isinstance(value, bool) or value != int(value) or value < 1:
        raise ValueError(f'{what}={value}: must be a whole number of 1 or more')
    return int(value)


def _interpolation(name: str) -> str:
    if name not in INTERPOLATIONS:
        raise unknown(name, INTERPOLATIONS, 'interpolation')
    return name
