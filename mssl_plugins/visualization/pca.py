"""The first three principal components of patch features as colors (DINOv2, Fig. 1).

All images of a network share one basis, so a color means the same in all of
them.  :mod:`mssl_plugins.evaluation.patch_maps` says how the foreground is found.
"""

import argparse
from itertools import islice
from pathlib import Path
from typing import Iterator, List, Sequence, Tuple

import cv2
import numpy as np

from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.errors import UserError, unknown
from mssl_plugins.evaluation.patch_maps import PatchBasis, colors_of
from mssl_plugins.files import progress
from mssl_plugins.visualization import VIDEOS
from mssl_plugins.visualization.canvas import (
    enlarge,
    find_images,
    row_names,
    save_image,
    sheet,
)
from mssl_plugins.visualization.network import (
    FrozenNetwork,
    cut,
    maps_of,
    networks_of,
)
from mssl_plugins.visualization.video import TOGETHER, frame_source, write_video

FITTED = 24  # frames of a video whose patches make the basis


def paint(colors: np.ndarray, size: Tuple[int, int], smooth: bool = False) -> np.ndarray:
    """Resizes a map (h, w, 3) of colors to (height, width) px."""
    way = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return cv2.resize(colors, size[::-1], interpolation=way)


def spread(frames: Iterator[np.ndarray], count: int, number: int) -> List[np.ndarray]:
    """Some frames, evenly spread if their number is known.

    Args:
        frames (Iterator[np.ndarray]): The frames.
        count (int): How many there are; 0: not known.
        number (int): Take at most this many.

    Returns:
        list[np.ndarray]: The frames that are taken.
    """
    step = max(1, -(-count // number))
    return list(islice(frames, 0, step * number, step))


def video_frames(
    networks: Sequence[FrozenNetwork], path: str, whole: bool, smooth: bool, tile: int
) -> Iterator[np.ndarray]:
    """Yields each frame next to its colors for every network."""
    frames, _, count = frame_source(path)
    some = spread(frames, count, FITTED)
    bases = [PatchBasis.fit(maps_of(network, some), not whole) for network in networks]
    frames = frame_source(path)[0]
    while batch := list(islice(frames, TOGETHER)):
        columns = [[enlarge(cut(f, networks[0].size, networks[0].patch)[0], tile)] for f in batch]
        for network, basis in zip(networks, bases):
            for column, patches in zip(columns, maps_of(network, batch)):
                colors = basis.colors(patches).numpy()
                column.append(paint(colors, column[0].shape[:2], smooth))
        for column in columns:
            yield np.concatenate(column, 1)


def figure(
    networks: Sequence[FrozenNetwork],
    images: Sequence[np.ndarray],
    whole: bool = False,
    smooth: bool = False,
    tile: int = 160,
    files: Sequence[str] = (),
) -> np.ndarray:
    """One row for each image: the image, then its colors for every network.

    Args:
        networks (Sequence[FrozenNetwork]): One or two.
        images (Sequence[np.ndarray]): (H, W, 3) uint8 RGB, of any size.
        whole (bool): Whether to color the background too. Defaults to False.
        smooth (bool): Whether to interpolate. Defaults to False.
        tile (int): Longer side of a tile in px. Defaults to 160.
        files (Sequence[str]): Names of the images. Defaults to none.

    Returns:
        np.ndarray: One uint8 RGB image; each network has its own basis.
    """
    rows = [[] for _ in images]
    for network in networks:
        for row, image, colors in zip(rows, images, colors_of(maps_of(network, images), not whole)):
            shown = enlarge(cut(image, network.size, network.patch)[0], tile)
            row += [] if row else [shown]
            row.append(paint(colors.numpy(), shown.shape[:2], smooth))
    of = 'patches' if whole else 'foreground'
    titles = ['image', *(f'{network.name}: PCA of {of}' for network in networks)]
    return sheet(rows, titles, tile, names=files)


def run(args: argparse.Namespace) -> None:
    """Shows the components of images, or of every frame of a video.

    Raises:
        UserError: If a number is not positive.
        ValueError: If a video should be written into another kind of file than .mp4.
    """
    moving = Path(args.input).suffix.lower() in VIDEOS
    args.out = args.out or f'work_dirs/figures/pca.{"mp4" if moving else "png"}'
    moving = moving or Path(args.out).suffix.lower() == '.mp4'
    if min(args.rows, args.fps, args.tile or 1) <= 0:
        raise UserError('--rows, --fps and --tile must be more than 0')
    if moving:
        if Path(args.out).suffix.lower() != '.mp4':
            raise unknown(Path(args.out).suffix, ['.mp4'], 'kind of video to write')
        _, rate, count = frame_source(args.input)
        frames = video_frames(
            networks_of(args), args.input, args.whole, args.smooth, args.tile or 480
        )
        write_video(args.out, progress(frames, count), rate or args.fps)
        return
    files = find_images(args.input, args.rows)
    images = [read_rgb(str(file)) for file in files]
    style = (args.whole, args.smooth, args.tile or 160, row_names(args.input, files))
    save_image(args.out, figure(networks_of(args), images, *style))
