"""MixMask: Revisiting Masking Strategy for Siamese ConvNets (BMVC 2024).

The step is that of the authors' published MoCo code. For SimCLR, BYOL and
SimSiam no code was published; they use Un-Mix's public scheme (our choice).
This file mixes images; every :class:`mssl_plugins.models.selfsup.base.Siamese`
computes the loss of the mixed images itself.
"""

import math
from typing import List, NamedTuple, Tuple

import torch
from torch import Tensor, nn

from mssl_plugins.errors import unknown
from mssl_plugins.models.masking import check_grid, generator, grid_mask
from mssl_plugins.registry import MODELS


class Mixed(NamedTuple):
    """A mixed batch.

    Attributes:
        name (str): ``'mixmask'`` or ``'unmix'``.
        images (Tensor): ``mix_i = M x_i + (1 - M) x_partner(i)``, (N, 3, H, W).
        lam (float): lambda, the fraction of the image that comes from x_i.
        partner (Tensor): A permutation of the batch, (N,).
    """

    name: str
    images: Tensor
    lam: float
    partner: Tensor


@MODELS.register_module()
class MixMask(nn.Module):
    """Mixes each image of a batch with another one.

    With views x1, x2, the base's two-view loss L, one mask M an iteration and
    lambda its mean over pixels::

        mix   = M x1 + (1 - M) reverse(x1)                           N x 3 x H x W
        total = L(x1, x2) + lambda L(mix, x2) + (1 - lambda) L(reverse(mix), x2)

    reverse(mix) is the batch of mixed *features* in reverse order. Its row i
    belongs to the image whose (1 - M) part is x1_i, so the inverse mask needs no
    further forward pass.

    Args:
        mode (str): ``'mixmask'``, ``'unmix'`` (Un-Mix: global Mixup or CutMix
            instead of the mask) or ``'both'`` (two mixed batches; MixMask then
            pairs by a random permutation). Defaults to ``'mixmask'``.
        pattern (str): ``'block'`` or ``'discrete'``. Defaults to ``'block'``.
        grid (int): Cells a side of the mask. 8 at 224 px in the paper; our
            choice is 4 at 32 px and 8 at 64 px. Defaults to 8.
        ratio (float): Target fraction of cells with M = 1 (block) or M = 0
            (discrete). Defaults to 0.5.
        unmix_prob (float): Probability of Mixup rather than CutMix. Defaults
            to 0.5.
        beta (float): lambda_u ~ Beta(beta, beta). Defaults to 1.0.

    Raises:
        ValueError: Unknown mode or pattern, impossible grid or ratio.

    Example:
        >>> model = dict(type='mssl_plugins.MoCo', backbone=..., neck=..., head=...,
        >>>              mixing=dict(type='mssl_plugins.MixMask', pattern='block'))
    """

    MODES = ('mixmask', 'unmix', 'both')

    def __init__(
        self,
        mode: str = 'mixmask',
        pattern: str = 'block',
        grid: int = 8,
        ratio: float = 0.5,
        unmix_prob: float = 0.5,
        beta: float = 1.0,
    ) -> None:
        super().__init__()
        if mode not in self.MODES:
            raise unknown(mode, self.MODES, 'mode of MixMask')
        if not 0 <= unmix_prob <= 1:
            raise ValueError(f'unmix_prob must lie in [0, 1], got {unmix_prob}')
        check_grid(pattern, grid, ratio)
        self.mode, self.pattern, self.grid, self.ratio = mode, pattern, grid, ratio
        self.unmix_prob, self.beta = unmix_prob, beta

    def forward(self, x1: Tensor) -> List[Mixed]:
        """Mixes a batch with itself.

        Args:
            x1 (Tensor): First view, (N, 3, H, W), normalized.

        Returns:
            List[Mixed]: ``'unmix'``, ``'mixmask'``, or both in this order.
        """
        n = len(x1)
        reverse = torch.arange(n - 1, -1, -1, device=x1.device)
        mixed = []
        if self.mode != 'mixmask':
            mixed.append(Mixed('unmix', *self.unmix(x1, x1[reverse]), reverse))
        if self.mode != 'unmix':
            # pi: reverse, or in 'both' a random one
            partner = reverse if self.mode == 'mixmask' else torch.randperm(n).to(x1.device)
            mixed.append(Mixed('mixmask', *self.mask(x1, x1[partner]), partner))
        return mixed

    def mask(self, x: Tensor, partner: Tensor) -> Tuple[Tensor, float]:
        """``M x + (1 - M) partner`` under one fresh mask, and mean(M).

        Args:
            x (Tensor): (N, C, H, W).
            partner (Tensor): (N, C, H, W).

        Returns:
            Tuple[Tensor, float]: The mixed batch and lambda, the fraction
            of pixels that come from x.
        """
        masked = grid_mask(self.pattern, self.grid, self.ratio, x.shape[-2:])
        lam = 1 - masked.float().mean().item()
        return torch.where(masked.to(x.device), partner, x), lam

    def unmix(self, x: Tensor, partner: Tensor) -> Tuple[Tensor, float]:
        """Un-Mix: Mixup with probability ``unmix_prob``, otherwise CutMix.

        Arguments and result as in :meth:`mask`; after CutMix lambda is
        recomputed from the pasted area.
        """
        rng = generator()
        lam = rng.beta(self.beta, self.beta)
        if rng.random() < self.unmix_prob:
            return lam * x + (1 - lam) * partner, lam
        h, w = x.shape[-2:]
        side = math.sqrt(1 - lam)
        cy, cx = rng.integers(h), rng.integers(w)
        half_h, half_w = int(h * side) // 2, int(w * side) // 2
        y0, y1 = max(cy - half_h, 0), min(cy + half_h, h)
        x0, x1 = max(cx - half_w, 0), min(cx + half_w, w)
        images = x.clone()
        images[..., y0:y1, x0:x1] = partner[..., y0:y1, x0:x1]
        return images, 1 - (y1 - y0) * (x1 - x0) / (h * w)

    def extra_repr(self) -> str:
        """The arguments, for printing."""
        return (
            f'mode={self.mode!r}, pattern={self.pattern!r}, grid={self.grid}, '
            f'ratio={self.ratio}, unmix_prob={self.unmix_prob}'
        )
