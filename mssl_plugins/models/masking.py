"""Every mask of the library, one convention: bool, ``True`` = masked.

Token masks have shape (B, L), pixel masks (B, 1, H, W) or (1, 1, H, W) where
the batch shares one.  Random draws come from a ``numpy`` generator made by
:func:`generator`, so that a mask is a function of torch's seed.
"""
import math
from typing import Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mssl_plugins.utils import unknown


def generator() -> np.random.Generator:
    """A numpy generator seeded by one draw from torch's CPU generator."""
    return np.random.default_rng(int(torch.randint(2**62, (1, ))))


def block_grid(grid: int, ratio: float, rng: np.random.Generator,
               tries: int = 10) -> np.ndarray:
    """Block pattern of MixMask: rectangles of *unmasked* cells.

    Blocks are added until ``int(ratio * grid**2)`` cells are unmasked or no
    block fits: area uniform in [4, remaining], aspect log-uniform in
    [0.3, 1 / 0.3], both sides shorter than the grid, at least one and at most
    ``remaining`` new cells.  Behaviour of the authors' published code.

    Args:
        grid (int): Cells a side, at least 3.
        ratio (float): Share of unmasked cells aimed at, in (0, 1).
        rng (np.random.Generator): Source of randomness.
        tries (int): Attempts to place one block. Defaults to 10.

    Returns:
        np.ndarray: (grid, grid) bool, ``True`` = masked.
    """
    target = int(ratio * grid**2)
    masked = np.ones((grid, grid), dtype=bool)
    log_aspect = math.log(0.3)
    remaining, fits = target, True
    while remaining > 0 and fits:
        fits = False
        for _ in range(tries):
            area = rng.uniform(min(4, remaining), max(4, remaining))
            aspect = math.exp(rng.uniform(log_aspect, -log_aspect))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (0 < h < grid and 0 < w < grid):
                continue
            top, left = rng.integers(grid - h + 1), rng.integers(grid - w + 1)
            block = masked[top:top + h, left:left + w]  # a view
            if 1 <= block.sum() <= remaining:
                remaining -= int(block.sum())
                block[:] = False
                fits = True
                break
    return masked


def discrete_grid(grid: int, ratio: float, rng: np.random.Generator) -> np.ndarray:
    """Independent cells, each masked with probability ``ratio``.

    Drawn again when all cells come out equal.  Arguments and result as in
    :func:`block_grid`.
    """
    masked = np.zeros((grid, grid), dtype=bool)
    while masked.all() or not masked.any():
        masked = rng.random((grid, grid)) < ratio
    return masked


GRIDS = dict(block=block_grid, discrete=discrete_grid)


def check_grid(pattern: str, grid: int, ratio: float) -> None:
    """Refuse a grid mask that cannot work, before training starts.

    Raises:
        ValueError: Unknown pattern, a ratio outside (0, 1), or a grid on
            which the pattern comes out empty.
    """
    if pattern not in GRIDS:
        raise unknown(pattern, GRIDS, 'mask pattern')
    if not 0 < ratio < 1:
        raise ValueError(f'mask ratio must lie in (0, 1), got {ratio}')
    least = 3 if pattern == 'block' else 2
    if grid < least:
        raise ValueError(
            f'grid {grid} leaves no room for a {pattern} mask: the least is '
            f'{least} (8 in the paper)'
            + ("; pattern 'discrete' works with grid 2" if grid == 2 else ''))
    if pattern == 'block' and int(ratio * grid**2) < 1:
        raise ValueError(f'ratio {ratio} of {grid} x {grid} cells is none')


def grid_mask(pattern: str, grid: int, ratio: float, size: Tuple[int, int]) -> Tensor:
    """One mask for a whole batch, enlarged to the image without smoothing.

    Args:
        pattern (str): ``'block'`` or ``'discrete'``.
        grid (int): Cells a side.
        ratio (float): Share of cells, see the pattern's function.
        size (Tuple[int, int]): Height and width of the image in pixels.

    Returns:
        Tensor: (1, 1, H, W) bool on the CPU, ``True`` = masked.
    """
    cells = torch.from_numpy(GRIDS[pattern](grid, ratio, generator()))
    cells = cells[None, None].to(torch.uint8)
    return F.interpolate(cells, size=size, mode='nearest').bool()
