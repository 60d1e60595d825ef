"""NT-Xent: SimCLR's normalized, temperature-scaled cross-entropy (arXiv 2002.05709, eq. 1)."""

from typing import Callable

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor

from mssl_plugins.distributed import GatherWithGradient


def nt_xent(a: Tensor, b: Tensor, contrast: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """NT-Xent of N pairs of unit vectors against all images of all W processes.

    ::

        z      = [a; b] of all processes                                   2NW x D
        L(i)   = -log(exp(z_i.z_j / T) / sum over k != i of exp(z_i.z_k / T)),  j the pair of i
        return mean of L(i) over this process' 2N rows

    Args:
        a (Tensor): Unit vectors of the first views, (N, D).
        b (Tensor): Unit vectors of the second views, (N, D).
        contrast (Callable): Cross-entropy over one positive (2N, 1) and
            2NW - 2 negatives (2N, 2NW - 2) at its temperature T: the ``loss``
            of ``mmpretrain.ContrastiveHead``.

    Returns:
        Tensor: Scalar, in the type of ``a``; autocast is off.
    """
    with torch.autocast(a.device.type, enabled=False):
        z = torch.cat([a, b])  # (2N, D): rows i and i + N are a pair
        n, first = len(a), get_rank() * 2 * len(a)
        everybody = GatherWithGradient.apply(z) if get_world_size() > 1 else z  # (2NW, D)
        row = torch.arange(2 * n, device=z.device)
        itself, partner = row + first, (row + n) % (2 * n) + first  # columns among all
        similarity = z @ everybody.T  # (2N, 2NW)
        others = torch.ones_like(similarity, dtype=torch.bool)
        others[row, itself] = others[row, partner] = False
        return contrast(similarity[row, partner, None], similarity[others].reshape(2 * n, -1))
