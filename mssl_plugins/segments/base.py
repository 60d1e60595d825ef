"""What every generator of segments is, and the label map that it gives.

Mask-guided attention bias, our definition, section "Mask generation": where masks overlap, the
smaller one owns the pixel.
"""

from typing import Sequence

import cv2
import numpy as np


class Generator:
    """Base of the generators; ``options`` are those of the constructor."""

    def __call__(self, img: np.ndarray, key: str, sample: dict) -> np.ndarray:
        """Segments of one image.

        Args:
            img (np.ndarray): (H, W, 3) uint8 RGB.
            key (str): Its path from the root of its set on.
            sample (dict): What the dataset knows of it.

        Returns:
            np.ndarray: (h, w) integers, 0 = none, of the image's proportions.
        """
        raise NotImplementedError


def label_map(masks: Sequence[np.ndarray], size: Sequence[int]) -> np.ndarray:
    """Masks as one map in which the smaller mask owns what several claim.

    Args:
        masks (Sequence[np.ndarray]): n arrays (H, W) bool.
        size (Sequence[int]): H and W, for when there is no mask.

    Returns:
        np.ndarray: (H, W) int32, 0 = none, otherwise 1 for the largest mask,
        2 for the next, ...; of masks of one area the later one owns.
    """
    labels = np.zeros(tuple(size[:2]), np.int32)
    areas = [-int(np.count_nonzero(mask)) for mask in masks]
    for number, i in enumerate(np.argsort(areas, kind='stable'), 1):
        labels[masks[i]] = number
    return labels


def shrink(img: np.ndarray, side: int) -> np.ndarray:
    """The image, its longer side at most ``side`` px (0: as it is)."""
    ratio = side / max(img.shape[:2])
    if side <= 0 or ratio >= 1:
        return img
    size = [max(round(s * ratio), 1) for s in img.shape[1::-1]]
    return cv2.resize(img, size, interpolation=cv2.INTER_AREA)
