"""Every mask of the library, one convention: bool, ``True`` = masked.

Token masks have shape (B, L), pixel masks (B, 1, H, W) or (1, 1, H, W) where
the batch shares one.  A mask depends on torch's seed and not on the device.
What replaces masked pixels and tokens is in
:mod:`mssl_plugins.models.replacement`.
"""

import math
from typing import Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mssl_plugins.errors import unknown


def generator() -> np.random.Generator:
    """A numpy generator, seeded from torch's CPU generator."""
    return np.random.default_rng(int(torch.randint(2**62, (1,))))


def draw_blocks(
    shape: Tuple[int, int], target: float, least: float, rng: np.random.Generator, tries: int = 10
) -> np.ndarray:
    """Rectangles of cells, added until ``target`` cells are covered or none fits.

    BEiT (arXiv 2106.08254), Algorithm 1: area uniform between ``least`` and
    what remains, aspect log-uniform in [0.3, 1 / 0.3], both sides shorter than
    the grid, at least one and at most the remaining number of new cells.

    Args:
        shape (tuple[int, int]): Rows and columns.
        target (float): Cells to be covered.
        least (float): Area of a block aimed at.
        rng (np.random.Generator): Source of randomness.
        tries (int): Attempts to place one block. Defaults to 10.

    Returns:
        np.ndarray: (rows, columns) bool, ``True`` = covered.
    """
    covered = np.zeros(shape, dtype=bool)
    log_aspect = math.log(0.3)
    remaining, fits = target, True
    while remaining > 0 and fits:
        fits = False
        for _ in range(tries):
            area = rng.uniform(min(least, remaining), max(least, remaining))
            aspect = math.exp(rng.uniform(log_aspect, -log_aspect))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (0 < h < shape[0] and 0 < w < shape[1]):
                continue
            top, left = rng.integers(shape[0] - h + 1), rng.integers(shape[1] - w + 1)
            block = covered[top : top + h, left : left + w]  # a view
            new = block.size - int(block.sum())
            if 1 <= new <= remaining:
                remaining -= new
                block[:] = True
                fits = True
                break
    return covered


def block_grid(grid: int, ratio: float, rng: np.random.Generator, tries: int = 10) -> np.ndarray:
    """Block pattern of MixMask: rectangles of *unmasked* cells.

    :func:`draw_blocks` of 4 cells or more until ``int(ratio * grid**2)`` cells
    are unmasked. Behavior of the authors' published code.

    Args:
        grid (int): Cells a side, at least 3.
        ratio (float): Fraction of unmasked cells aimed at, in (0, 1).
        rng (np.random.Generator): Source of randomness.
        tries (int): Attempts to place one block. Defaults to 10.

    Returns:
        np.ndarray: (grid, grid) bool, ``True`` = masked.
    """
    return ~draw_blocks((grid, grid), int(ratio * grid**2), 4, rng, tries)


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
    """Refuses a grid mask that cannot work, before training starts.

    Arguments as for :func:`grid_mask`.

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
            + ("; pattern 'discrete' works with grid 2" if grid == 2 else '')
        )
    if pattern == 'block' and int(ratio * grid**2) < 1:
        raise ValueError(f'ratio {ratio} of {grid} x {grid} cells is none')


def grid_mask(pattern: str, grid: int, ratio: float, size: Tuple[int, int]) -> Tensor:
    """One mask for a whole batch, enlarged to the image without smoothing.

    Args:
        pattern (str): ``'block'`` or ``'discrete'``.
        grid (int): Cells a side.
        ratio (float): Fraction of cells, see the pattern's function.
        size (Tuple[int, int]): Height and width of the image in pixels.

    Returns:
        Tensor: (1, 1, H, W) bool on the CPU, ``True`` = masked.
    """
    cells = torch.from_numpy(GRIDS[pattern](grid, ratio, generator()))
    cells = cells[None, None].to(torch.uint8)
    return F.interpolate(cells, size=size, mode='nearest').bool()


def random_keep(
    batch: int,
    grid: Tuple[int, int],
    ratio: float,
    unit: int = 1,
    device: Union[str, torch.device] = 'cpu',
) -> Tuple[Tensor, Tensor]:
    """Uniformly random token masks, the same number of tokens in each image.

    MAE (arXiv 2111.06377), section 3.

    Args:
        batch (int): Number of images B.
        grid (Tuple[int, int]): Rows and columns of patch tokens, L in all.
        ratio (float): Fraction of masked tokens, in (0, 1); rounded to whole
            cells.
        unit (int): Side of a mask cell in tokens; 2 masks a ViT/8 in the
            cells of a ViT/16. Defaults to 1.
        device (str | torch.device): Where the masks are. Defaults to ``'cpu'``.

    Returns:
        Tuple[Tensor, Tensor]: Indices of the kept tokens, (B, Lk) long, in
        ascending order, and the mask, (B, L) bool, ``True`` = masked.

    Raises:
        ValueError: If cells do not tile the grid, or if the ratio masks
            nothing or everything.
    """
    rows, columns = grid
    if unit < 1 or rows % unit or columns % unit:
        raise ValueError(
            f'mask cells of {unit} x {unit} tokens do not tile {rows} x {columns} '
            'tokens: rows and columns must be divisible by the unit'
        )
    rows, columns = rows // unit, columns // unit
    cells = rows * columns
    kept = round(cells * (1 - ratio))
    if not 0 < kept < cells:
        raise ValueError(
            f'mask ratio {ratio} of {cells} cells keeps {kept}: '
            'at least one must be kept and one masked'
        )
    noise = torch.rand(batch, cells, device='cpu').to(device)  # the same on any device
    mask = torch.ones(batch, cells, dtype=torch.bool, device=device)
    mask.scatter_(1, noise.argsort(1)[:, :kept], False)
    if unit > 1:
        mask = mask.view(batch, rows, columns)
        mask = mask.repeat_interleave(unit, 1).repeat_interleave(unit, 2).flatten(1)
    return token_indices(~mask, kept * unit**2), mask


def ranked_keep(
    strategy: str,
    ratio: float,
    grid: Tuple[int, int],
    batch: int,
    attention: Optional[Tensor] = None,
) -> Tuple[Tensor, Tensor]:
    """Masks of MAE by blocks or by attention, the same number of tokens in each image.

    Args:
        strategy (str): ``'block'`` (BEiT's rectangles; patches that are missing
            from the number are drawn at random), ``'attention_low'`` or
            ``'attention_high'`` (MST's order).
        ratio (float): Fraction of masked patches.
        grid (tuple[int, int]): Rows and columns of patches, L in all.
        batch (int): Number of images B.
        attention (Tensor, optional): (B, L), for the last two strategies. Defaults
            to None.

    Returns:
        Tuple[Tensor, Tensor]: Indices of the kept patches, (B, Lk) long, and the
        mask, (B, L) bool, as from :func:`random_keep`.
    """
    cells = grid[0] * grid[1]
    kept = round(cells * (1 - ratio))
    if strategy == 'block':
        blocks = mim_mask('block', [ratio] * batch, grid)
        order = (blocks + torch.rand(batch, cells) * 0.5).argsort(1, descending=True)
    else:
        order = attention.argsort(dim=1, descending=strategy == 'attention_high', stable=True)
    mask = torch.ones(batch, cells, dtype=torch.bool, device=order.device)
    mask.scatter_(1, order[:, cells - kept :], False)
    return token_indices(~mask, kept), mask


def token_indices(chosen: Tensor, count: int) -> Tensor:
    """Positions at which a (B, L) bool is ``True``, ``count`` of them in every row.

    Returns:
        Tensor: (B, count) long, ascending. Unlike ``nonzero`` this does not
        wait for the device.
    """
    return chosen.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :count]


MIM_STRATEGIES = ('block', 'random', 'attention_low', 'attention_high')


def mim_mask(
    strategy: str,
    ratios: Sequence[float],
    grid: Tuple[int, int],
    attention: Optional[Tensor] = None,
) -> Tensor:
    """Token masks with a ratio for each image (iBOT, arXiv 2111.07832, section 3).

    Args:
        strategy (str): ``'block'`` (the paper: BEiT's rectangles of
            ``(min(rows, columns) // 3)**2`` patches or more), ``'random'``
            (``int(r L)`` single patches), ``'attention_low'`` or
            ``'attention_high'`` (the ``int(r L)`` patches of least or most
            attention, MST's order).
        ratios (Sequence[float]): r of each of B images, in [0, 1].
        grid (tuple[int, int]): Rows and columns of patches, L in all.
        attention (Tensor, optional): Attention of [CLS] to the patches, (B, L),
            for the last two strategies. Defaults to None.

    Returns:
        Tensor: (B, L) bool on the CPU, or where ``attention`` is; ``True`` =
        masked.

    Raises:
        ValueError: Unknown strategy.
    """
    if strategy not in MIM_STRATEGIES:
        raise unknown(strategy, MIM_STRATEGIES, 'mask strategy')
    cells = grid[0] * grid[1]
    if strategy == 'block':
        rng, least = generator(), (min(grid) // 3) ** 2
        masks = [draw_blocks(grid, r * cells, least, rng) for r in ratios]
        return torch.from_numpy(np.stack(masks)).flatten(1)
    if strategy == 'random':
        attention = torch.rand(len(ratios), cells)
    order = attention.argsort(dim=1, descending=strategy == 'attention_high', stable=True)
    counts = torch.tensor([int(r * cells) for r in ratios], device=order.device)
    ranks = torch.arange(cells, device=order.device).expand_as(order)
    return torch.zeros_like(order, dtype=torch.bool).scatter_(1, order, ranks < counts[:, None])


STRATEGIES = ('attention_low', 'attention_high', 'random', 'block', 'none')


def check_strategy(strategy: str, q: float, p: float) -> None:
    """Refuses a token mask that cannot work, before training starts.

    Arguments as for :func:`token_mask`.

    Raises:
        ValueError: Unknown strategy, q or p outside [0, 1].
    """
    if strategy not in STRATEGIES:
        raise unknown(strategy, STRATEGIES, 'mask strategy')
    for name, value in (('q', q), ('p', p)):
        if not 0 <= value <= 1:
            raise ValueError(f'{name} of the token mask must lie in [0, 1], got {value}')


def token_mask(
    strategy: str,
    attention: Tensor,
    q: float = 1 / 8,
    p: float = 1.0,
    generator: Optional[torch.Generator] = None,
    grid: Optional[Tuple[int, int]] = None,
) -> Tensor:
    """Token masks of MST: by rank of attention, thinned out at random.

    MST (arXiv 2106.05656); the formula is our reading of it. The floor(q L)
    patches of lowest attention in each image (of equal ones the first) are
    eligible; an eligible patch is masked if u < p, with u uniform in [0, 1).

    Args:
        strategy (str): ``'attention_low'`` (the paper), ``'attention_high'``
            (the highest instead), ``'random'`` (all are eligible, whatever
            q), ``'block'`` (BEiT's rectangles, up to q of the patches, see
            :func:`mim_mask`) or ``'none'``.
        attention (Tensor): Attention of [CLS] to the L patches, (B, L); only its
            shape matters to ``'random'`` and ``'none'``.
        q (float): Fraction of eligible patches. Defaults to 1 / 8.
        p (float): Probability that an eligible patch is masked. Defaults to 1.
        generator (torch.Generator, optional): A generator of the CPU, which draws
            u, so that a mask does not depend on the device. Defaults to None,
            torch's own.
        grid (tuple[int, int], optional): Rows and columns of patches, for
            ``'block'``. Defaults to None.

    Returns:
        Tensor: (B, L) bool, ``True`` = masked. [CLS] is not among the L.
    """
    check_strategy(strategy, q, p)
    batch, length = attention.shape
    eligible = torch.full_like(attention, strategy == 'random', dtype=torch.bool)
    if strategy == 'block':
        eligible = mim_mask('block', [q] * batch, grid).to(attention.device)
    elif strategy.startswith('attention'):
        # floor(q L), unharmed by 0.29 * 100 = 28.999999999999996
        count = math.floor(q * length + 1e-9)
        order = attention.argsort(dim=1, descending=strategy == 'attention_high', stable=True)
        eligible.scatter_(1, order[:, :count], True)
    if p < 1 and strategy != 'none':
        eligible &= (torch.rand(batch, length, generator=generator) < p).to(attention.device)
    return eligible


def box_mask(boxes: Tensor, size: Tuple[int, int]) -> Tensor:
    """Pixels whose center lies in the box.

    MaskCo (arXiv 2108.07954), supplement, Algorithm 1.

    Args:
        boxes (Tensor): (N, 4), x0, y0, x1, y1 in px.
        size (Tuple[int, int]): H, W in px.

    Returns:
        Tensor: (N, 1, H, W) bool, ``True`` = masked. A box with whole
        numbers, as ``mssl_plugins.MaskCoViews`` samples it, covers exactly
        (y1 - y0)(x1 - x0) pixels.
    """
    y, x = (torch.arange(side, device=boxes.device) + 0.5 for side in size)
    x0, y0, x1, y1 = boxes.T[..., None]  # (N, 1) each
    rows, columns = (y0 < y) & (y < y1), (x0 < x) & (x < x1)
    return (rows[:, :, None] & columns[:, None])[:, None]
