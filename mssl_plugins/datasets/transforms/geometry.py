"""Crops, resizing, and boxes and segments of an image in a view of it.

Geometry, as MaskCo needs it: for a crop at (x0, y0) of w x h px resized to
S x S, u = (x - x0) S / w and v = (y - y0) S / h; a flip takes (u1, u2) to
(S - u2, S - u1).
"""

import math
from typing import Sequence, Tuple, Union

import cv2
import numpy as np
import torch
import torch.nn.functional as F

Boxes = Union[np.ndarray, torch.Tensor]
Size = Union[int, Sequence[int]]


def height_width(size: Size) -> Tuple[int, int]:
    """Height and width in px of a size: a side, or (height, width)."""
    return (size, size) if np.ndim(size) == 0 else tuple(size)


def boxes_to_view(boxes: Boxes, view_box: Boxes, flip: Union[bool, Boxes], size: Size) -> Boxes:
    """Boxes of the image in the coordinates of a view, not clipped.

    Args:
        boxes (np.ndarray | torch.Tensor): (..., n, 4), x0, y0, x1, y1 in px
            of the image.
        view_box (np.ndarray | torch.Tensor): (..., 4), the crop of the view
            in px of the image.
        flip (bool | np.ndarray | torch.Tensor): (...), whether the view was
            flipped left-right after the crop.
        size (int | Sequence[int]): Side of the view, or its height and width,
            in px.

    Returns:
        np.ndarray | torch.Tensor: (..., n, 4) in px of the view, an array or
        tensor of the type of ``boxes`` (float32 for integers).
    """
    xp, boxes, view_box, flip = _same_kind(boxes, view_box, flip)
    x0, y0, x1, y1 = (view_box[..., i] for i in range(4))
    height, width = height_width(size)
    left, right = ((boxes[..., i] - x0) * width / (x1 - x0) for i in (0, 2))
    top, bottom = ((boxes[..., i] - y0) * height / (y1 - y0) for i in (1, 3))
    return xp.stack(
        [xp.where(flip, width - right, left), top, xp.where(flip, width - left, right), bottom], -1
    )


def boxes_to_image(boxes: Boxes, view_box: Boxes, flip: Union[bool, Boxes], size: Size) -> Boxes:
    """Boxes of a view in the coordinates of the image.

    The inverse of :func:`boxes_to_view`, with the same arguments: ``boxes``
    (..., n, 4) are in px of the view.

    Returns:
        np.ndarray | torch.Tensor: (..., n, 4) in px of the image.
    """
    xp, boxes, view_box, flip = _same_kind(boxes, view_box, flip)
    height, width = height_width(size)
    x0, y0, x1, y1 = (view_box[..., i] for i in range(4))
    u0, v0, u1, v1 = (boxes[..., i] for i in range(4))
    left, right = xp.where(flip, width - u1, u0), xp.where(flip, width - u0, u1)
    return xp.stack(
        [
            x0 + left * (x1 - x0) / width,
            y0 + v0 * (y1 - y0) / height,
            x0 + right * (x1 - x0) / width,
            y0 + v1 * (y1 - y0) / height,
        ],
        -1,
    )


def _same_kind(boxes, view_box, flip):
    """Everything as arrays or tensors that broadcast over the n boxes."""
    if isinstance(boxes, torch.Tensor):
        boxes = boxes if boxes.is_floating_point() else boxes.float()
        view_box = torch.as_tensor(view_box, dtype=boxes.dtype, device=boxes.device)
        flip = torch.as_tensor(flip, device=boxes.device)
        xp = torch
    else:
        boxes = np.asarray(boxes)
        if not np.issubdtype(boxes.dtype, np.floating):
            boxes = boxes.astype(np.float32)
        view_box = np.asarray(view_box, boxes.dtype)
        flip, xp = np.asarray(flip), np
    return xp, boxes, view_box[..., None, :], flip[..., None]


def segments_to_view(
    segments: np.ndarray, view_box: Sequence[float], flip: bool, size: Size
) -> np.ndarray:
    """A label map cut, resized and flipped like a view.

    The label of a view pixel is that of the image pixel in which its center
    lies; 0 (none) outside the image.

    Args:
        segments (np.ndarray): (H, W) integers.
        view_box (Sequence[float]): x0, y0, x1, y1 in px of the image.
        flip (bool): Whether to flip left-right.
        size (int | Sequence[int]): Side of the view, or its height and width,
            in px.

    Returns:
        np.ndarray: (height, width) of the view, of the same type.
    """
    x0, y0, x1, y1 = map(float, view_box)
    down, across = ((np.arange(side) + 0.5) / side for side in height_width(size))
    cols = np.floor(x0 + across * (x1 - x0)).astype(np.int64)
    rows = np.floor(y0 + down * (y1 - y0)).astype(np.int64)
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
    scale: Tuple[float, float] = (0.08, 1.0),
    ratio: Tuple[float, float] = (3 / 4, 4 / 3),
) -> Tuple[int, int, int, int]:
    """Crop box with the distribution of torchvision's ``RandomResizedCrop``.

    Args:
        rng (np.random.Generator): Source of all randomness.
        height (int): Height of the image in px.
        width (int): Width of the image in px.
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


def resize(img: np.ndarray, size: Tuple[int, int], interpolation: str) -> np.ndarray:
    """Antialiased resize, within two levels of 255 of Pillow's.

    OpenCV's linear and cubic filters skip pixels when an image shrinks: 1-3
    levels off Pillow's on photos.  PyTorch's kernel for uint8 is Pillow's
    filter and four times faster than Pillow.

    Args:
        img (np.ndarray): (H, W, C) uint8 or uint16.
        size (tuple[int, int]): Wanted height and width in px.
        interpolation (str): 'bilinear' or 'bicubic'.

    Returns:
        np.ndarray: (size[0], size[1], C) of the same type, contiguous.
    """
    if img.shape[:2] == tuple(size):
        return np.ascontiguousarray(img)
    if interpolation == 'bilinear' and img.shape[0] <= size[0] and img.shape[1] <= size[1]:
        # Nothing to antialias: the same filter, three times faster still.
        return cv2.resize(img, size[::-1], interpolation=cv2.INTER_LINEAR).reshape(*size, -1)
    if not img.flags.c_contiguous or not img.flags.writeable:
        img = img.copy()
    # Made a batch by torch, not by numpy, so that the strides say
    # channels_last and the output is interleaved, too.
    wide = img.dtype != np.uint8  # for which torch has no kernel
    batch = torch.from_numpy(img.astype(np.float32) if wide else img)
    batch = batch.unsqueeze(0).permute(0, 3, 1, 2)
    batch = F.interpolate(batch, size, mode=interpolation, align_corners=False, antialias=True)
    out = batch[0].permute(1, 2, 0).numpy()
    if wide:  # bicubic overshoots
        out = out.round().clip(0, np.iinfo(img.dtype).max).astype(img.dtype)
    return np.ascontiguousarray(out)


def carry(
    results: dict,
    height: int,
    width: int,
    boxes: np.ndarray,
    flips: np.ndarray,
    sizes: Sequence[Size],
) -> None:
    """Records the geometry of V views and transforms boxes and segments with them.

    Args:
        results (dict): The sample, changed in place: gains ``view_boxes``
            (V, 4) float32, ``view_flips`` (V,) bool; from ``gt_bboxes``
            (n, 4) also ``view_bboxes``, V arrays (n_v, 4) clipped to the view
            and without those outside, and ``view_bbox_ids``, V arrays (n_v,)
            of their indices in ``gt_bboxes``; from ``segments`` (H, W) also
            ``view_segments``, V arrays of the views' sizes.
        height (int): Height of the input image in px.
        width (int): Width of the input image in px.
        boxes (np.ndarray): (V, 4) crops in px of the input image.
        flips (np.ndarray): (V,) bool.
        sizes (Sequence[int | Sequence[int]]): The V sides, or heights and
            widths, in px.

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
            raise ValueError(f"'gt_bboxes' must be of shape (n, 4), got {given.shape}")
        kept, ids = [], []
        for view in views:
            height_, width_ = height_width(view[2])
            inside = boxes_to_view(given, *view).clip(0, [width_, height_, width_, height_])
            (where,) = np.nonzero((inside[:, 2:] > inside[:, :2]).all(1))
            kept.append(inside[where])
            ids.append(where)
        results['view_bboxes'], results['view_bbox_ids'] = kept, ids
    if results.get('segments') is not None:
        segments = np.asarray(results['segments'])
        if segments.shape != (height, width):
            raise ValueError(
                f"'segments' must have the shape of the image, "
                f'{(height, width)}, got {segments.shape}'
            )
        results['view_segments'] = [segments_to_view(segments, *view) for view in views]
