"""The cosine of every patch's features to those of one chosen patch."""

import argparse
from typing import Sequence, Tuple

import cv2
import numpy as np

from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.errors import UserError
from mssl_plugins.evaluation.neighbors import patch_similarity
from mssl_plugins.visualization.canvas import draw_boxes, enlarge, find_images, save_image, sheet
from mssl_plugins.visualization.network import (
    FrozenNetwork,
    cut,
    maps_of,
    networks_of,
    patch_at,
)

MARK = (255, 60, 60)


def cosine_heat(cosine: np.ndarray, size: Tuple[int, int], low: float, high: float) -> np.ndarray:
    """A map (h, w) in colors from dark (``low``) to bright (``high``), (*size, 3) uint8 RGB."""
    level = ((cosine - low) / max(high - low, 1e-12)).clip(0, 1)
    level = cv2.resize((level * 255).round().astype(np.uint8), size[::-1], interpolation=0)
    return cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)


def marked(shown: np.ndarray, grid: Tuple[int, int], row: int, column: int) -> np.ndarray:
    """A copy of an image with a frame around the patch at a row and column of its (h, w) grid."""
    (height, width), (h, w) = shown.shape[:2], grid
    box = [column * width / w, row * height / h, (column + 1) * width / w, (row + 1) * height / h]
    return draw_boxes(shown, [box], MARK, 2 if min(height / h, width / w) >= 12 else 1)


def figure(
    networks: Sequence[FrozenNetwork],
    image: np.ndarray,
    pixels: Sequence[Tuple[int, int]],
    others: Sequence[np.ndarray] = (),
    tile: int = 160,
    names: Sequence[str] = (),
) -> np.ndarray:
    """One row for each pixel and network: the patch, its cosines, and those in other images.

    Args:
        networks (Sequence[FrozenNetwork]): One or two.
        image (np.ndarray): (H, W, 3) uint8 RGB.
        pixels (Sequence[tuple[int, int]]): (x, y) of pixels in the image.
        others (Sequence[np.ndarray]): More images. Defaults to none.
        tile (int): Longer side of a tile in px. Defaults to 160.
        names (Sequence[str]): Names of the other images, for the titles. Defaults
            to none.

    Returns:
        np.ndarray: One uint8 RGB image. The colors of a row run from its
        smallest cosine to 1; the title over it names the range.

    Raises:
        UserError: If a pixel lies outside of what a network sees.
    """
    parts = []
    for network in networks:
        maps = maps_of(network, [image, *others])
        grid = tuple(maps[0].shape[:2])
        shown = [enlarge(cut(i, network.size, network.patch)[0], tile) for i in (image, *others)]
        for x, y in pixels:
            row, column = patch_at(image, network, grid, x, y)
            cosines = [patch_similarity(m, maps[0][row, column]).numpy() for m in maps]
            low = min(float(c.min()) for c in cosines)
            heats = [cosine_heat(c, s.shape[:2], low, 1.0) for c, s in zip(cosines, shown)]
            tiles = [marked(shown[0], grid, row, column), heats[0]]
            titles = [f'patch at {x}, {y}', f'{network.name}: {low:.2f} to 1']
            for other, heat, name in zip(
                shown[1:], heats[1:], names or ['another image'] * len(others)
            ):
                tiles += [other, heat]
                titles += [name, 'its cosines']
            parts.append(sheet([tiles], titles, tile))
    return np.concatenate(parts)


def run(args: argparse.Namespace) -> None:
    """Shows which patches resemble the chosen one.

    Raises:
        UserError: If a number is too small.
    """
    if min(args.columns, args.tile) < 1:
        raise UserError('--columns and --tile must be 1 or more')
    image = read_rgb(str(find_images(args.image)[0]))
    others = find_images(args.others, args.columns) if args.others else []
    networks = networks_of(args)
    names = [file.name for file in others]
    others = [read_rgb(str(file)) for file in others]
    save_image(args.out, figure(networks, image, args.at, others, args.tile, names))
