"""Rotary positions of patches (RoPE as in DINOv3, arXiv 2508.10104).

Queries and keys are rotated by the row and the column of their patch, which lie
in [-1, 1] whatever the size of the image.
"""

import math
from typing import Tuple

import torch
from torch import Tensor, nn

# What a config may say of RotaryPositions: its types by argument.
ROPE_OPTIONS = dict(base=float, rescale=float)


class RotaryPositions(nn.Module):
    """The angles of every patch of a grid.

    A head of d dimensions has d / 4 periods, from 1 to nearly ``base``, for
    rows and as many for columns; dimension i turns with dimension i + d / 2.

    Args:
        head_dims (int): d, divisible by 4.
        base (float): The longest period, nearly. Defaults to 100, DINOv3's.
        rescale (float): While training, the coordinates of a batch are
            multiplied by a factor drawn log-uniformly from [1 / rescale,
            rescale]; 2 in DINOv3's pre-training. Defaults to 1.

    Attributes:
        periods (Tensor): (d / 4,), kept with the weights: DINOv3's own files
            hold them.

    Raises:
        ValueError: If d is not divisible by 4, or a number is out of range.
    """

    def __init__(self, head_dims: int, base: float = 100.0, rescale: float = 1.0) -> None:
        super().__init__()
        if head_dims % 4:
            raise ValueError(
                f'rotary positions need heads of a width divisible by 4, got {head_dims}'
            )
        if base <= 1 or rescale < 1:
            raise ValueError(
                f'base must be above 1 and rescale at least 1, got {base} and {rescale}'
            )
        self.rescale = rescale
        n = head_dims // 4
        self.register_buffer('periods', float(base) ** (torch.arange(n) / n))

    def forward(self, grid: Tuple[int, int]) -> Tensor:
        """Sine and cosine of each of L = rows x columns patches, (2, L, d) float32."""
        device = self.periods.device
        rows, columns = ((torch.arange(n, device=device) + 0.5) / n * 2 - 1 for n in grid)
        places = torch.stack(torch.meshgrid(rows, columns, indexing='ij'), -1)  # (h, w, 2)
        if self.training and self.rescale > 1:
            limit = math.log(self.rescale)
            places = places * torch.empty((), device=device).uniform_(-limit, limit).exp()
        angles = 2 * math.pi * places[..., None] / self.periods.float()  # (h, w, 2, d / 4)
        angles = angles.flatten(2).flatten(0, 1).repeat(1, 2)  # (L, d)
        return torch.stack([angles.sin(), angles.cos()])


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Rotates the last tokens of every head; those before them have no position.

    Args:
        x (Tensor): Queries or keys (B, heads, N, d).
        rotation (Tensor): From :class:`RotaryPositions`, (2, L, d), or (2, B, L, d)
            if every image keeps other patches; L is at most N.

    Returns:
        Tensor: (B, heads, N, d), of the type of ``x``.
    """
    sine, cosine = rotation if rotation.ndim == 3 else rotation[:, :, None]
    first = x.shape[2] - sine.shape[-2]
    y = x[:, :, first:]
    a, b = y.chunk(2, -1)
    y = (y * cosine + torch.cat([-b, a], -1) * sine).to(x.dtype)
    return torch.cat([x[:, :, :first], y], 2) if first else y
