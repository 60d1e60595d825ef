"""L1 reconstruction of a view (MST, arXiv 2106.05656, supplement, Algorithm 1)."""

from typing import Optional

import torch
from torch import Tensor

from mssl_plugins.errors import unknown
from mssl_plugins.models.layers.precision import upcast

REDUCTIONS = ('pixel', 'mean', 'image')


def l1_reconstruction_loss(
    prediction: Tensor, view: Tensor, mask: Optional[Tensor] = None, reduction: str = 'pixel'
) -> Tensor:
    """L1 distance of a reconstructed view to the view.

    Args:
        prediction (Tensor): (B, C, H, W).
        view (Tensor): The network's input, (B, C, H, W), normalized.
        mask (Tensor, optional): (B, 1, H, W) bool; only pixels where it is
            ``True`` count (none: 0). Defaults to None, all.
        reduction (str): ``'pixel'``: sum over channels, mean over pixels and
            images, our reading of the paper's ``sum().mean()``; ``'mean'``:
            mean over channels, too; ``'image'``: sum over an image, mean
            over the batch. Defaults to ``'pixel'``.

    Returns:
        Tensor: Scalar, at least float32.

    Raises:
        ValueError: Unknown reduction.
    """
    if reduction not in REDUCTIONS:
        raise unknown(reduction, REDUCTIONS, 'reduction of the reconstruction loss')
    with torch.autocast(view.device.type, enabled=False):
        distance = (upcast(prediction) - upcast(view)).abs().sum(1, keepdim=True)  # (B, 1, H, W)
        count = distance.numel()
        if mask is not None:
            distance, count = distance * mask, mask.sum().clamp(min=1)
        if reduction == 'image':
            return distance.sum() / len(view)
        return distance.sum() / count / (view.shape[1] if reduction == 'mean' else 1)
