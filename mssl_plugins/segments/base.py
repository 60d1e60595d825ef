"""Base class of the generators of segments, and the label map that they return.

Where masks overlap, the pixel belongs to the smaller one (mask-guided attention
bias; our definition).
"""

from typing import Sequence

import cv2
import numpy as np


class Generator:
    """Base of the generators; the constructor's arguments are a generator's options."""

    def __call__(self, img: np.ndarray, key: str, sample: dict) -> np.ndarray:
        """Segments of one image.

        Args:
            img (np.ndarray): (H, W, 3) uint8 RGB.
            key (str): Its path relative to the root of its dataset.
            sample (dict): Its sample from the dataset.

        Returns:
            np.ndarray: (h, w) integers, 0 = none, of the image's proportions.
        """
        raise NotImplementedError


def label_map(masks: Sequence[np.ndarray], size: Sequence[int]) -> np.ndarray:
    """Combines masks into one map; where they overlap, the smaller mask wins.

    Args:
        masks (Sequence[np.ndarray]): n arrays (H, W) bool.
        size (Sequence[int]): H and W, used if there is no mask.

    Returns:
        np.ndarray: (H, W) int32: 0 = none, 1 for the largest mask, 2 for the
        next, and so on; of masks of equal area the later one wins.
    """
    labels = np.zeros(tuple(size[:2]), np.int32)
    areas = [-int(np.count_nonzero(mask)) for mask in masks]
    for number, i in enumerate(np.argsort(areas, kind='stable'), 1):
        labels[masks[i]] = number
    return labels


def shrink(img: np.ndarray, side: int) -> np.ndarray:
    """Shrinks an image to a longer side of at most ``side`` px (0: not at all)."""
    ratio = side / max(img.shape[:2])
    if side <= 0 or ratio >= 1:
        return img
    size = [max(round(s * ratio), 1) for s in img.shape[1::-1]]
    return cv2.resize(img, size, interpolation=cv2.INTER_AREA)
