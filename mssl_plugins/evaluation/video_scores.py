"""J and F of DAVIS (Perazzi et al., CVPR 2016; DAVIS 2017, arXiv 1704.00675).

Computed as in the DAVIS 2017 evaluation: J is the intersection over union of an
object's pixels; F is the harmonic mean of precision and recall of its contour,
whose pixels match within 0.8 % of the frame's diagonal.
"""

from typing import Dict, List, Sequence

import cv2
import numpy as np

TOLERANCE = 0.008  # of the diagonal
VOID = 255


def region(predicted: np.ndarray, truth: np.ndarray) -> float:
    """J of two (H, W) bool masks, 0 to 1; 1 where both are empty."""
    union = np.count_nonzero(predicted | truth)
    return np.count_nonzero(predicted & truth) / union if union else 1.0


def contour_pixels(mask: np.ndarray) -> np.ndarray:
    """Pixels of a (H, W) bool mask whose right, lower or diagonal neighbor differs.

    In the last row and column only the neighbor in that row or column counts.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode='edge')
    right, below, across = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return (mask != right) | (mask != below) | (mask != across)


def contour(predicted: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F of two (H, W) bool masks, 0 to 1; 1 where neither has a contour.

    Args:
        predicted (np.ndarray): (H, W) bool.
        truth (np.ndarray): (H, W) bool.
        tolerance (float): Distance within which contours match, as a fraction of
            the diagonal, rounded up to whole px. Defaults to 0.008.

    Returns:
        float: F.
    """
    radius = int(np.ceil(tolerance * np.linalg.norm(truth.shape)))
    side = np.arange(-radius, radius + 1)
    disk = (side[:, None] ** 2 + side**2 <= radius**2).astype(np.uint8)
    mine, real = contour_pixels(predicted), contour_pixels(truth)
    near_mine, near_real = (cv2.dilate(c.astype(np.uint8), disk) > 0 for c in (mine, real))
    counts = np.count_nonzero(mine), np.count_nonzero(real)
    if not all(counts):
        return float(counts[0] == counts[1])
    precision = np.count_nonzero(mine & near_real) / counts[0]
    recall = np.count_nonzero(real & near_mine) / counts[1]
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def score_video(
    predicted: Sequence[np.ndarray], truth: Sequence[np.ndarray], objects: int
) -> Dict[str, List[float]]:
    """Mean J and F of each object of a video.

    Args:
        predicted (Sequence[np.ndarray]): (H, W) numbers of objects for each frame.
        truth (Sequence[np.ndarray]): The true ones; 255 is ignored.
        objects (int): Number of objects; object n has the number n.

    Returns:
        dict[str, list[float]]: 'J' and 'F': for each object the mean over all
        frames but the first, whose mask is given, and the last, as in DAVIS.

    Raises:
        ValueError: If there are fewer than 3 frames, or predictions for
            another number of them.
    """
    if len(predicted) != len(truth) or len(truth) < 3:
        raise ValueError(
            f'a video needs 3 or more frames and as many masks, got {len(predicted)} predicted '
            f'and {len(truth)} true masks'
        )
    scores = dict(J=[], F=[])
    for number in range(1, objects + 1):
        pairs = [
            ((p == number) & (t != VOID), t == number) for p, t in zip(predicted[1:-1], truth[1:-1])
        ]
        scores['J'].append(float(np.mean([region(p, t) for p, t in pairs])))
        scores['F'].append(float(np.mean([contour(p, t) for p, t in pairs])))
    return scores
