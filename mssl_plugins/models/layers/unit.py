"""Vectors of length 1 whose gradient stays finite."""

import torch
import torch.nn.functional as F
from torch import Tensor

#: Shorter vectors are what rounding left: they have no direction to learn.
SHORTEST = 1e-4


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """Vectors divided by their L2 norm, as ``F.normalize``.

    The gradient of x / |x| grows with 1 / |x|. BatchNorm turns a batch of equal
    images into zero vectors, whose gradient of 1e12 would overflow float32 a few
    layers further. Vectors shorter than 1e-4 therefore get no gradient.

    Args:
        x (Tensor): Of any shape.
        dim (int): Dimension along which the vectors lie. Defaults to -1.

    Returns:
        Tensor: Of the same shape; a zero vector stays zero.
    """
    directed = torch.linalg.vector_norm(x.detach(), dim=dim, keepdim=True) >= SHORTEST
    return F.normalize(torch.where(directed, x, x.detach()), dim=dim)
