"""Folders of images of any channels, of 8 or 16 bits."""

from pathlib import Path

import cv2
import numpy as np
import tifffile

from helpers.messy import photo


def band_image(rng: np.random.Generator, channels: int, bits: int, side: int = 72) -> np.ndarray:
    """(side, side + 8, channels) uint8 or uint16; each channel has a brightness of its own."""
    layers = [photo(rng, side + 8, side) for _ in range(-(-channels // 3))]
    img = np.concatenate(layers, -1)[..., :channels].astype(float)
    img = img * np.linspace(0.3, 1, channels)
    return (img * 257).astype(np.uint16) if bits == 16 else img.astype(np.uint8)


def write_bands(path: Path, img: np.ndarray) -> None:
    """Writes an image as its suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.npy':
        np.save(path, img)
    elif path.suffix == '.tif':
        several = dict(planarconfig='contig', extrasamples=['unspecified'] * (img.shape[2] - 1))
        tifffile.imwrite(
            path,
            img if img.shape[2] > 1 else img[..., 0],
            photometric='minisblack',
            **several if img.shape[2] > 1 else {},
        )
    else:
        order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[img.shape[2]]
        assert cv2.imwrite(str(path), img[..., order])


def make_band_folder(
    folder: Path, channels: int, bits: int = 8, suffix: str = '.npy', number: int = 80
) -> Path:
    """Writes so many images."""
    rng = np.random.default_rng(0)
    for i in range(number):
        write_bands(folder / f'{i:03}{suffix}', band_image(rng, channels, bits))
    return folder
