"""Mask patterns and the images they mix (MixMask's supplement, Fig. 2)."""

import argparse
from typing import Sequence

import numpy as np
import torch

from mssl_plugins.datasets.scenes import Scenes
from mssl_plugins.models.masking import GRIDS, check_grid, grid_mask
from mssl_plugins.visualization.canvas import find_images, row_names, save_image, sheet
from mssl_plugins.visualization.images import read_square


def figure(images: np.ndarray, grid: int, ratio: float, files: Sequence[str] = ()) -> np.ndarray:
    """One row for each pair of images: both, then mask and two mixes of each pattern.

    Args:
        images (np.ndarray): (2 n, H, W, 3) uint8 RGB.
        grid (int): Cells in a row and a column of the mask.
        ratio (float): Fraction of cells.
        files (Sequence[str]): Names of the images. Defaults to none.

    Returns:
        np.ndarray: One uint8 RGB figure.
    """
    rows = []
    for a, b in zip(images[::2], images[1::2]):
        row = [a, b]
        for pattern in ('discrete', 'block'):
            masked = grid_mask(pattern, grid, ratio, a.shape[:2])[0, 0, :, :, None].numpy()
            row += [
                np.where(masked, 0, 255).astype(np.uint8)[..., 0],
                np.where(masked, b, a),
                np.where(masked, a, b),
            ]
        rows.append(row)
    return sheet(
        rows,
        [
            'a',
            'b',
            'discrete',
            'M a + (1-M) b',
            'M b + (1-M) a',
            'block',
            'M a + (1-M) b',
            'M b + (1-M) a',
        ],
        names=[f'a: {a}   b: {b}' for a, b in zip(files[::2], files[1::2])],
    )


def run(args: argparse.Namespace) -> None:
    """Mixes images by grid masks and shows the steps.

    Raises:
        ValueError: If there are fewer than 2 images.
    """
    for pattern in GRIDS:
        check_grid(pattern, args.grid, args.ratio)
    torch.manual_seed(args.seed)
    if args.images:
        files = find_images(args.images, 2 * args.pairs)
        if len(files) < 2:
            raise ValueError(f'{args.images}: mixing takes at least 2 images, found {len(files)}')
        files = (files * (2 * args.pairs))[: 2 * args.pairs]
        images = np.stack([read_square(f, args.size) for f in files])
        names = row_names(args.images, files)
    else:
        scenes = Scenes(split='train', length=2 * args.pairs, size=args.size, seed=args.seed)
        images, names = np.stack([scenes[i]['img'] for i in range(len(scenes))]), []
    save_image(args.out, figure(images, args.grid, args.ratio, names))
