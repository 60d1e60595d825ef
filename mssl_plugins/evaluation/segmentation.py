"""The score of predicted label maps: mIoU, computed as in mmseg's ``IoUMetric``."""

import torch
from torch import Tensor
from torch.nn import functional as F


def predict_map(scores: Tensor, height: int, width: int) -> Tensor:
    """The class of every pixel from the scores of a grid.

    Args:
        scores (Tensor): (h, w, C), larger is likelier.
        height (int): Height of the label map in px.
        width (int): Width of the label map in px.

    Returns:
        Tensor: (height, width) int64. The scores are interpolated bilinearly
        (corners not aligned); of equal scores the lower class wins.
    """
    large = F.interpolate(scores.permute(2, 0, 1)[None].float(), (height, width), mode='bilinear')
    return large[0].argmax(0)


def confusion(predicted: Tensor, truth: Tensor, num_classes: int) -> Tensor:
    """The confusion matrix: how many pixels of each class were predicted as which.

    Args:
        predicted (Tensor): Integers of any shape, 0 to C - 1.
        truth (Tensor): Of the same shape; values outside 0 to C - 1 are ignored.
        num_classes (int): C.

    Returns:
        Tensor: (C, C) int64, the truth along the first dimension.
    """
    known = (truth >= 0) & (truth < num_classes)
    pairs = truth[known].long() * num_classes + predicted[known].long()
    return torch.bincount(pairs, minlength=num_classes**2).view(num_classes, num_classes)


def mean_iou(counts: Tensor) -> float:
    """Mean intersection over union of the classes that occur.

    Args:
        counts (Tensor): (C, C) of :func:`confusion` over all images.

    Returns:
        float: A fraction; classes that neither occur nor are predicted do not
        count, as in mmseg.

    Raises:
        ValueError: If no pixel has a label.
    """
    if not int(counts.sum()):
        raise ValueError('no pixel of the test masks has a label: nothing to score')
    right = counts.diag().double()
    union = counts.sum(0) + counts.sum(1) - counts.diag()
    return float((right / union)[union > 0].mean())
