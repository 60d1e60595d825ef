"""Views of an image that know their crop and flip.

The multi-view transform of all methods (the two views of MoCo v2, the
multi-crop of SwAV and DINO, the single crop of MAE), with the laws of
torchvision's ``RandomResizedCrop``, ``RandomCrop``, ``RandomHorizontalFlip``
and of the photometric operations in :mod:`mssl_plugins.datasets.transforms.photometric`.
Each view records its crop box in pixels of the input image and its flip;
boxes and segment label maps are carried into every view.

Geometry, as MaskCo needs it: for a crop at (x0, y0) of w x h px resized to
S x S, u = (x - x0) S / w and v = (y - y0) S / h; a flip takes (u1, u2) to
(S - u2, S - u1).

Everything stays uint8 until the data preprocessor normalises on the device.
"""
import inspect
import math
import os
from pathlib import Path
from typing import List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform
from mmpretrain.structures import DataSample

from mssl_plugins.registry import TRANSFORMS
from mssl_plugins.errors import unknown
from mssl_plugins.datasets.transforms.photometric import Photometric, probability
from mssl_plugins.datasets.folder import decode
from mssl_plugins.datasets.sampler import sample_rng

Boxes = Union[np.ndarray, torch.Tensor]
INTERPOLATIONS = ('bilinear', 'bicubic')


def boxes_to_view(boxes: Boxes, view_box: Boxes, flip: Union[bool, Boxes],
                  size: int) -> Boxes:
    """Boxes of the image in the coordinates of a view, not clipped.

    Args:
        boxes (np.ndarray | torch.Tensor): (..., n, 4), x0, y0, x1, y1 in px
            of the image.
        view_box (np.ndarray | torch.Tensor): (..., 4), the crop of the view
            in px of the image.
        flip (bool | np.ndarray | torch.Tensor): (...), whether the view was
            flipped left-right after the crop.
        size (int): Side of the view in px.

    Returns:
        np.ndarray | torch.Tensor: (..., n, 4) in px of the view, of the kind
        and floating type of ``boxes`` (float32 for whole numbers).
    """
    xp, boxes, view_box, flip = _same_kind(boxes, view_box, flip)
    x0, y0, x1, y1 = (view_box[..., i] for i in range(4))
    left, right = ((boxes[..., i] - x0) * size / (x1 - x0) for i in (0, 2))
    top, bottom = ((boxes[..., i] - y0) * size / (y1 - y0) for i in (1, 3))
    return xp.stack([
        xp.where(flip, size - right, left), top,
        xp.where(flip, size - left, right), bottom
    ], -1)


def boxes_to_image(boxes: Boxes, view_box: Boxes, flip: Union[bool, Boxes],
                   size: int) -> Boxes:
    """Boxes of a view in the coordinates of the image.

    The inverse of :func:`boxes_to_view`, with the same arguments: ``boxes``
    (..., n, 4) are in px of the view.

    Returns:
        np.ndarray | torch.Tensor: (..., n, 4) in px of the image.
    """
    xp, boxes, view_box, flip = _same_kind(boxes, view_box, flip)
    x0, y0, x1, y1 = (view_box[..., i] for i in range(4))
    u0, v0, u1, v1 = (boxes[..., i] for i in range(4))
    left, right = xp.where(flip, size - u1, u0), xp.where(flip, size - u0, u1)
    return xp.stack([
        x0 + left * (x1 - x0) / size, y0 + v0 * (y1 - y0) / size,
        x0 + right * (x1 - x0) / size, y0 + v1 * (y1 - y0) / size
    ], -1)


def _same_kind(boxes, view_box, flip):
    """Everything as arrays or tensors that broadcast over the n boxes."""
    if isinstance(boxes, torch.Tensor):
        boxes = boxes if boxes.is_floating_point() else boxes.float()
        view_box = torch.as_tensor(
            view_box, dtype=boxes.dtype, device=boxes.device)
        flip = torch.as_tensor(flip, device=boxes.device)
        xp = torch
    else:
        boxes = np.asarray(boxes)
        if not np.issubdtype(boxes.dtype, np.floating):
            boxes = boxes.astype(np.float32)
        view_box = np.asarray(view_box, boxes.dtype)
        flip, xp = np.asarray(flip), np
    return xp, boxes, view_box[..., None, :], flip[..., None]


def segments_to_view(segments: np.ndarray, view_box: Sequence[float],
                     flip: bool, size: int) -> np.ndarray:
    """A label map cut, resized and flipped like a view.

    The label of a view pixel is that of the image pixel in which its centre
    lies; 0 (none) outside the image.

    Args:
        segments (np.ndarray): (H, W) integers.
        view_box (Sequence[float]): x0, y0, x1, y1 in px of the image.
        flip (bool): Whether to flip left-right.
        size (int): Side S of the view in px.

    Returns:
        np.ndarray: (S, S), same type.
    """
    x0, y0, x1, y1 = map(float, view_box)
    centres = (np.arange(size) + 0.5) / size
    cols = np.floor(x0 + centres * (x1 - x0)).astype(np.int64)
    rows = np.floor(y0 + centres * (y1 - y0)).astype(np.int64)
    if flip:
        cols = cols[::-1]
    height, width = segments.shape
    view = segments.take(rows.clip(0, height - 1), 0)
    view = view.take(cols.clip(0, width - 1), 1)
    view[(rows < 0) | (rows >= height)] = 0
    view[:, (cols < 0) | (cols >= width)] = 0
    return view


def random_resized_crop(
        rng: np.random.Generator,
        height: int,
        width: int,
        scale: Tuple[float, float] = (0.08, 1.),
        ratio: Tuple[float, float] = (3 / 4, 4 / 3)
) -> Tuple[int, int, int, int]:
    """Crop box with the law of torchvision's ``RandomResizedCrop``.

    Args:
        rng (np.random.Generator): Where all chance comes from.
        height (int): Of the image in px.
        width (int): Of the image in px.
        scale (tuple[float, float]): Range of the area as a fraction of the
            image, drawn uniformly. Defaults to (0.08, 1).
        ratio (tuple[float, float]): Range of width / height, drawn
            log-uniformly. Defaults to (3/4, 4/3).

    Returns:
        tuple[int, int, int, int]: x0, y0, x1, y1 in px.  After ten draws that
        do not fit, the largest central crop with an allowed ratio.
    """
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w = round(math.sqrt(area * aspect))
        h = round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            y0 = int(rng.integers(height - h + 1))
            x0 = int(rng.integers(width - w + 1))
            return x0, y0, x0 + w, y0 + h
    w, h = width, height
    if width / height < ratio[0]:
        h = min(round(width / ratio[0]), height)
    elif width / height > ratio[1]:
        w = min(round(height * ratio[1]), width)
    x0, y0 = (width - w) // 2, (height - h) // 2
    return x0, y0, x0 + w, y0 + h


def resize(img: np.ndarray, size: Tuple[int, int],
           interpolation: str) -> np.ndarray:
    """Antialiased resize, Pillow's to within a level or two of 255.

    OpenCV's linear and cubic filters skip pixels when an image shrinks, 1-3
    levels off Pillow's on photos; PyTorch's kernel for uint8 is Pillow's
    filter and four times faster than Pillow.

    Args:
        img (np.ndarray): (H, W, 3) uint8.
        size (tuple[int, int]): Wanted height and width in px.
        interpolation (str): 'bilinear' or 'bicubic'.

    Returns:
        np.ndarray: (size[0], size[1], 3) uint8, contiguous.
    """
    if img.shape[:2] == tuple(size):
        return np.ascontiguousarray(img)
    if (interpolation == 'bilinear' and img.shape[0] <= size[0]
            and img.shape[1] <= size[1]):
        # Nothing to antialias: the same filter, three times faster still.
        return cv2.resize(img, size[::-1], interpolation=cv2.INTER_LINEAR)
    if not img.flags.c_contiguous or not img.flags.writeable:
        img = img.copy()
    # Made a batch by torch, not by numpy, so that the strides say
    # channels_last and the output is interleaved, too.
    batch = torch.from_numpy(img).unsqueeze(0).permute(0, 3, 1, 2)
    batch = F.interpolate(
        batch, size, mode=interpolation, align_corners=False, antialias=True)
    return np.ascontiguousarray(batch[0].permute(1, 2, 0).numpy())


def read_rgb(path: Union[str, os.PathLike]) -> np.ndarray:
    """Decode an image file, turned upright as its EXIF tag says.

    Args:
        path (str | os.PathLike): JPEG, PNG, ... as OpenCV reads them.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB; gray becomes three channels, alpha
        is dropped.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a whole image that OpenCV can decode.
    """
    data = Path(path).read_bytes()
    img = decode(data)
    if img is None:
        raise ValueError(f"'{path}' is not a readable image, or a truncated "
                         f'one ({len(data)} bytes)')
    return img


def input_image(results: dict) -> np.ndarray:
    """The image of a sample as (H, W, 3) uint8 RGB.

    Args:
        results (dict): ``'img'``, an array of shape (H, W), (H, W, 1) or
            (H, W, 3) uint8 RGB, or ``'img_path'``, which is decoded.

    Returns:
        np.ndarray: The image.

    Raises:
        KeyError: If there is neither.
        TypeError: If it is not uint8.
        ValueError: If it is not of such a shape.
    """
    if results.get('img') is None:
        if 'img_path' not in results:
            raise KeyError("a sample needs 'img' or 'img_path', got "
                           f'{sorted(results)}')
        return read_rgb(results['img_path'])
    img = results['img']
    if getattr(img, 'dtype', None) != np.uint8:
        what = getattr(img, 'dtype', type(img).__name__)
        raise TypeError(f"'img' must be a uint8 array, got {what}")
    if img.ndim == 2 or img.ndim == 3 and img.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(img), cv2.COLOR_GRAY2RGB)
    if img.ndim != 3 or img.shape[2] != 3:
        raise ValueError("'img' must be of shape (H, W), (H, W, 1) or "
                         f'(H, W, 3), got {img.shape}')
    return img


def carry(results: dict, height: int, width: int, boxes: np.ndarray,
          flips: np.ndarray, sizes: Sequence[int]) -> None:
    """Record the geometry of V views and take boxes and segments along.

    Args:
        results (dict): The sample, changed in place: gains ``view_boxes``
            (V, 4) float32, ``view_flips`` (V,) bool; from ``gt_bboxes``
            (n, 4) also ``view_bboxes``, V arrays (n_v, 4) clipped to the view
            and without those outside, and ``view_bbox_ids``, V arrays (n_v,)
            of their indices in ``gt_bboxes``; from ``segments`` (H, W) also
            ``view_segments``, V arrays (S, S).
        height (int): Of the input image in px.
        width (int): Of the input image in px.
        boxes (np.ndarray): (V, 4) crops in px of the input image.
        flips (np.ndarray): (V,) bool.
        sizes (Sequence[int]): The V sides in px.

    Raises:
        ValueError: If boxes or segments have a wrong shape.
    """
    results['view_boxes'] = np.asarray(boxes, np.float32)
    results['view_flips'] = np.asarray(flips, bool)
    views = list(zip(results['view_boxes'], results['view_flips'], sizes))
    if results.get('gt_bboxes') is not None:
        given = np.asarray(results['gt_bboxes'], np.float32)
        if given.size == 0:
            given = given.reshape(0, 4)
        if given.ndim != 2 or given.shape[1] != 4:
            raise ValueError(
                f"'gt_bboxes' must be of shape (n, 4), got {given.shape}")
        kept, ids = [], []
        for view in views:
            inside = boxes_to_view(given, *view).clip(0, view[2])
            where, = np.nonzero((inside[:, 2:] > inside[:, :2]).all(1))
            kept.append(inside[where])
            ids.append(where)
        results['view_bboxes'], results['view_bbox_ids'] = kept, ids
    if results.get('segments') is not None:
        segments = np.asarray(results['segments'])
        if segments.shape != (height, width):
            raise ValueError(f"'segments' must have the shape of the image, "
                             f'{(height, width)}, got {segments.shape}')
        results['view_segments'] = [
            segments_to_view(segments, *view) for view in views
        ]


class ViewGroup:
    """The settings of a number of like views; see :class:`Views`."""

    def __init__(self,
                 size: int,
                 num: int = 1,
                 crop: str = 'random_resized',
                 scale: Tuple[float, float] = (0.2, 1.),
                 ratio: Tuple[float, float] = (3 / 4, 4 / 3),
                 padding: int = 4,
                 interpolation: str = 'bilinear',
                 flip: float = 0.5,
                 jitter: Optional[dict] = None,
                 gray: float = 0.,
                 blur: Optional[dict] = None,
                 solarize: Optional[dict] = None) -> None:
        if crop not in ('random_resized', 'pad'):
            raise unknown(crop, ('random_resized', 'pad'), 'crop')
        if len(scale) != 2 or not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f'scale={scale}: allowed are fractions of the '
                             'area with 0 < low <= high <= 1')
        if len(ratio) != 2 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f'ratio={ratio}: allowed are 0 < low <= high')
        if padding < 0:
            raise ValueError(f'padding={padding}: must be 0 px or more')
        self.size = _positive(size, 'size')
        self.num = _positive(num, 'num')
        self.crop, self.scale, self.ratio = crop, scale, ratio
        self.padding = padding
        self.interpolation = _interpolation(interpolation)
        self.flip = probability(flip, 'flip')
        self.photometric = Photometric(jitter, gray, blur, solarize)

    def draw_box(self, rng: np.random.Generator, height: int,
                 width: int) -> Tuple[int, int, int, int]:
        """One crop box, x0, y0, x1, y1 in px of the image."""
        if self.crop == 'random_resized':
            return random_resized_crop(rng, height, width, self.scale,
                                       self.ratio)
        room_y, room_x = (side + 2 * self.padding - self.size
                          for side in (height, width))
        if min(room_x, room_y) < 0:
            raise ValueError(
                f"crop='pad' of {self.size} px needs an image of at least "
                f'{self.size - 2 * self.padding} px a side with padding '
                f'{self.padding}, got {height} x {width}')
        y0 = int(rng.integers(room_y + 1)) - self.padding
        x0 = int(rng.integers(room_x + 1)) - self.padding
        return x0, y0, x0 + self.size, y0 + self.size

    def render(self, img: np.ndarray, box: Sequence[int], flip: bool,
               rng: np.random.Generator) -> np.ndarray:
        """Cut, resize, flip and augment, (size, size, 3) uint8."""
        x0, y0, x1, y1 = box
        height, width = img.shape[:2]
        view = img[max(y0, 0):y1, max(x0, 0):x1]
        margins = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0),
                   max(x1 - width, 0))
        if any(margins):
            view = cv2.copyMakeBorder(view, *margins, cv2.BORDER_CONSTANT)
        view = resize(view, (self.size, self.size), self.interpolation)
        if flip:
            view = cv2.flip(view, 1)
        return self.photometric(view, rng)


@TRANSFORMS.register_module()
class Views(BaseTransform):
    """Several random views of an image, with their geometry.

    Required keys: ``img`` ((H, W, 3) uint8 RGB; gray is converted) or
    ``img_path`` (decoded here, once for all views).  Optional: ``gt_bboxes``
    ((n, 4), x0, y0, x1, y1 in px), ``segments`` ((H, W) integers, 0 = none),
    ``rng`` (the generator to go on with; otherwise
    :func:`~mssl_plugins.datasets.sampler.sample_rng` gives it).

    Changed keys: ``img`` (list of V (S, S, 3) uint8 arrays).  Added keys:
    ``rng``, ``ori_shape`` (H, W), ``view_boxes`` ((V, 4) float32 crops in px
    of the input image), ``view_flips`` ((V,) bool), and, if their source was
    there, ``view_bboxes``, ``view_bbox_ids`` and ``view_segments``
    (:func:`carry`).

    Args:
        views (Sequence[dict]): Groups of like views, in the order of the
            output. Keys of a group:

            - size (int): Side S in px. Required.
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
            - jitter, gray, blur, solarize: As of
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

    def __init__(self, views: Sequence[dict]) -> None:
        allowed = inspect.signature(ViewGroup).parameters
        self.groups: List[ViewGroup] = []
        if isinstance(views, dict) or len(views) == 0:
            raise ValueError('views must be a list of one or more groups such '
                             f'as dict(num=2, size=224), got {views!r}')
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

    def draw_boxes(self, rng: np.random.Generator, height: int,
                   width: int) -> np.ndarray:
        """Crops of all views; the place to override for crops that depend
        on each other.

        Args:
            rng (np.random.Generator): Where all chance comes from.
            height (int): Of the image in px.
            width (int): Of the image in px.

        Returns:
            np.ndarray: (V, 4) integers, x0, y0, x1, y1 in px.
        """
        return np.array(
            [group.draw_box(rng, height, width) for group in self.groups])

    def transform(self, results: dict) -> dict:
        """Replace the image by its views; see the class for the keys."""
        img = input_image(results)
        if results.get('rng') is None:
            results['rng'] = sample_rng(results)
        rng = results['rng']
        height, width = img.shape[:2]
        boxes = self.draw_boxes(rng, height, width)
        flips = rng.random(len(self.groups)) < [g.flip for g in self.groups]
        carry(results, height, width, boxes, flips,
              [group.size for group in self.groups])
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

    Resizes the short side and cuts the centre, as torchvision's ``Resize``
    and ``CenterCrop``.  Keys as of :class:`Views`, but ``img`` becomes a
    single (S, S, 3) array and V is 1; crop boxes are not whole px.

    Args:
        size (int): Side S of the view in px.
        resize (int, optional): Short side before the cut in px, at least
            ``size``. Defaults to None, which means ``size``.
        interpolation (str): 'bilinear' or 'bicubic'. Defaults to 'bilinear'.

    Raises:
        ValueError: For sizes that are not positive or ``resize < size``.
    """

    def __init__(self,
                 size: int,
                 resize: Optional[int] = None,
                 interpolation: str = 'bilinear') -> None:
        self.size = _positive(size, 'size')
        self.resize = _positive(size if resize is None else resize, 'resize')
        if self.resize < size:
            raise ValueError(f'resize={resize} is smaller than size={size}')
        self.interpolation = _interpolation(interpolation)

    def transform(self, results: dict) -> dict:
        """Replace the image by its centre; see the class for the keys."""
        img = input_image(results)
        height, width = img.shape[:2]
        # Integer arithmetic as in torchvision: the long side rounds down.
        h, w = (self.resize * side // min(height, width)
                for side in (height, width))
        top, left = round((h - self.size) / 2), round((w - self.size) / 2)
        scaled = resize(img, (h, w), self.interpolation)
        results['img'] = np.ascontiguousarray(
            scaled[top:top + self.size, left:left + self.size])
        box = np.array([[left, top, left + self.size, top + self.size]])
        box = box * [width / w, height / h, width / w, height / h]
        carry(results, height, width, box, np.zeros(1, bool), [self.size])
        results['ori_shape'] = (height, width)
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(size={self.size}, '
                f'resize={self.resize})')


class _ByValue:
    """Pickles a tensor as its bytes, unpickles as a tensor."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor

    def __reduce__(self):
        return torch.from_numpy, (self.tensor.numpy(), )


class ViewSample(DataSample):
    """A ``DataSample`` that is cheap to send from a loader's process.

    torch sends a tensor as a file descriptor of shared memory, about 1 ms
    each whatever its size; mmpretrain's ``DataSample`` avoids that for
    tensors, but not for lists of them, one a view, as boxes and segments are.
    """

    def __getstate__(self) -> dict:
        return {key: _by_value(value) for key, value in self.__dict__.items()}


def _by_value(value):
    if isinstance(value, list):
        return [_by_value(item) for item in value]
    plain = isinstance(value, torch.Tensor) and not value.requires_grad and (
        value.device.type == 'cpu' and value.dtype != torch.bfloat16)
    return _ByValue(value) if plain else value


@TRANSFORMS.register_module()
class PackViews(BaseTransform):
    """Tensors and a data sample, ready for ``default_collate``.

    Output: ``{'inputs': ..., 'data_samples': ViewSample}``, the inputs a list
    of V contiguous (3, S, S) uint8 tensors if ``img`` is a list of views, or
    one such tensor if it is a single array.  The data sample gets
    ``view_boxes`` ((V, 4) float32), ``view_flips`` ((V,) bool),
    ``view_segments`` and ``view_bboxes`` (lists of V tensors) and
    ``gt_label``, as far as they are there, and ``sample_idx``, ``img_path``
    and ``ori_shape`` as meta information.

    Args:
        keys (Sequence[str]): Further results to pack as fields: arrays and
            numbers as tensors, lists of arrays as lists of tensors. A key
            that a sample lacks is an error. Defaults to ().
        meta_keys (Sequence[str]): Results to pack as meta information where
            they exist. Defaults to ('sample_idx', 'img_path', 'ori_shape').

    Raises:
        KeyError: If ``img`` or one of ``keys`` is missing.
    """

    FIELDS = ('view_boxes', 'view_flips', 'view_segments', 'view_bboxes',
              'view_bbox_ids')

    def __init__(
        self,
        keys: Sequence[str] = (),
        meta_keys: Sequence[str] = ('sample_idx', 'img_path', 'ori_shape')
    ) -> None:
        self.keys = tuple(keys)
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict:
        """Pack one sample; see the class for the output."""
        for key in ('img', *self.keys):
            if key not in results:
                raise KeyError(f"PackViews needs '{key}' in the sample, got "
                               f'{sorted(results)}')
        img = results['img']
        sample = ViewSample(
            metainfo={k: results[k]
                      for k in self.meta_keys if k in results})
        fields = [key for key in self.FIELDS if key in results]
        for key in (*fields, *self.keys):
            sample.set_field(_tensors(results[key]), key)
        if results.get('gt_label') is not None:
            sample.set_gt_label(results['gt_label'])
        if isinstance(img, (list, tuple)):
            inputs = [chw_tensor(view) for view in img]
        else:
            inputs = chw_tensor(img)
        return dict(inputs=inputs, data_samples=sample)

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(keys={self.keys}, '
                f'meta_keys={self.meta_keys})')


def chw_tensor(img: np.ndarray) -> torch.Tensor:
    """A (H, W, 3) uint8 image as a contiguous (3, H, W) tensor."""
    planes = np.empty((3, *img.shape[:2]), np.uint8)
    cv2.split(img, list(planes))  # into the planes; faster than a transpose
    return torch.from_numpy(planes)


def _tensors(value):
    if isinstance(value, (list, tuple)):
        return [_tensors(item) for item in value]
    array = np.asarray(value)
    if array.dtype in (np.uint16, np.uint32, np.uint64):
        # which torch has everywhere
        array = array.astype(np.int32 if array.dtype == np.uint16 else np.int64)
    return torch.from_numpy(np.ascontiguousarray(array))


def _positive(value: int, what: str) -> int:
    if isinstance(value, bool) or value != int(value) or value < 1:
        raise ValueError(f'{what}={value}: must be a whole number of 1 or '
                         'more')
    return int(value)


def _interpolation(name: str) -> str:
    if name not in INTERPOLATIONS:
        raise unknown(name, INTERPOLATIONS, 'interpolation')
    return name
