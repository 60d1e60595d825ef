"""Tables of position embeddings: fixed sines and cosines, and tables of another grid.

The sines and cosines are MAE's (arXiv 2111.06377, section 3).
"""

from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


def sincos_pos_embed(grid: Tuple[int, int], dim: int, cls_token: bool = False) -> Tensor:
    """Position embeddings of a grid of tokens, row by row.

    A quarter of the channels each for the sine of the row, the cosine of the
    row, and sine and cosine of the column, at ``dim / 4`` frequencies from 1
    to nearly 1 / 10000.  On a square grid this is mmpretrain's table; on
    others mmpretrain transposes it.  MAE's own code has the columns first.

    Args:
        grid (Tuple[int, int]): Rows h and columns w.
        dim (int): Width of a token, divisible by 4.
        cls_token (bool): Put the class token's zeros first. Defaults to
            False.

    Returns:
        Tensor: (1, h * w, dim) float32, (1, 1 + h * w, dim) with
        ``cls_token``.

    Raises:
        ValueError: If ``dim`` is not divisible by 4.
    """
    if dim % 4:
        raise ValueError(f'2-D sine-cosine positions need a width divisible by 4, got {dim}')
    h, w = grid
    frequency = 1.0 / 10000.0 ** (torch.arange(dim // 4, dtype=torch.float32) / (dim // 4))
    rows = torch.arange(h, dtype=torch.float32)[:, None] * frequency  # (h, dim / 4)
    columns = torch.arange(w, dtype=torch.float32)[:, None] * frequency  # (w, dim / 4)
    table = torch.cat(
        [
            torch.cat([rows.sin(), rows.cos()], 1)[:, None].expand(h, w, -1),
            torch.cat([columns.sin(), columns.cos()], 1)[None].expand(h, w, -1),
        ],
        2,
    )  # (h, w, dim)
    table = table.flatten(0, 1)
    if cls_token:
        table = torch.cat([table.new_zeros(1, dim), table])
    return table[None]


def resize_table(
    table: Tensor,
    old: Tuple[int, int],
    new: Tuple[int, int],
    mode: str = 'bicubic',
    antialias: bool = True,
    offset: float = 0.0,
) -> Tensor:
    """A table of position embeddings for another grid.

    Args:
        table (Tensor): (1, h * w, dim), row by row.
        old (Tuple[int, int]): Its rows h and columns w.
        new (Tuple[int, int]): Rows and columns asked for.
        mode (str): Mode of torch's ``interpolate``. Defaults to ``'bicubic'``.
        antialias (bool): Whether to interpolate with antialiasing. Defaults to
            True.
        offset (float): Added to the new rows and columns when the scale factors
            are computed, 0.1 in DINO. Defaults to 0: the factors are the ratios of
            the sizes.

    Returns:
        Tensor: (1, rows * columns, dim).
    """
    size = dict(size=tuple(new))
    if offset:
        size = dict(scale_factor=tuple((n + offset) / o for n, o in zip(new, old)))
    resized = F.interpolate(
        table.unflatten(1, tuple(old)).permute(0, 3, 1, 2).float(),
        mode=mode,
        antialias=antialias,
        align_corners=False,
        **size,
    )  # (1, dim, rows, columns)
    return resized.flatten(2).transpose(1, 2).to(table.dtype)
