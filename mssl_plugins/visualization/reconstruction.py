"""Masked images and their reconstructions (MAE, Fig. 2; MST, section 10)."""

import argparse
from typing import List, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from mssl_plugins.visualization.canvas import denormalize, save_image, sheet
from mssl_plugins.visualization.images import seen_images, whole_model


def figure(
    images: np.ndarray,
    masks: np.ndarray,
    predictions: np.ndarray,
    plain: Optional[np.ndarray] = None,
    tile: int = 160,
    files: Sequence[str] = (),
) -> np.ndarray:
    """One row for each image: the image, its visible part, the prediction, both combined.

    Args:
        images (np.ndarray): (N, H, W, 3) uint8 RGB.
        masks (np.ndarray): (N, H, W) bool, ``True`` = masked.
        predictions (np.ndarray): (N, H, W, 3) uint8 RGB; combined where masked.
        plain (np.ndarray, optional): If ``predictions`` were scaled by the true
            mean and standard deviation of each patch: those that were not.
            The titles then say so. Defaults to None.
        tile (int): Longer side of a tile in px. Defaults to 160.
        files (Sequence[str]): Names of the images. Defaults to none.

    Returns:
        np.ndarray: One uint8 RGB figure.

    Raises:
        ValueError: If they are not of one shape.
    """
    if not images.shape == predictions.shape == (*masks.shape, 3):
        raise ValueError(
            'images (N, H, W, 3), masks (N, H, W) and predictions must be of one '
            f'shape, got {images.shape}, {masks.shape}, {predictions.shape}'
        )
    rows = []
    for i, (image, mask, prediction) in enumerate(zip(images, masks[..., None], predictions)):
        seen = np.where(mask, np.uint8(128), image)
        rows.append([image, seen, prediction, np.where(mask, prediction, image)])
        rows[-1] += [] if plain is None else [plain[i]]
    return sheet(rows, titles(plain is not None), tile, names=files)


def titles(restored: bool) -> List[str]:
    """Titles of the columns; they say if predictions were scaled by true statistics."""
    given = ' (true mean, std)' if restored else ''
    alone = ['prediction without them'] if restored else []
    return ['image', 'seen', f'prediction{given}', f'combined{given}', *alone]


def of_model(
    model,
    images: np.ndarray,
    x: Tensor,
    samples: Optional[list],
    tile: int = 160,
    files: Sequence[str] = (),
) -> np.ndarray:
    """Draws the reconstructions of a model.

    Args:
        model (nn.Module): MAE, MST or ASL.
        images (np.ndarray): (N, H, W, 3) uint8 RGB.
        x (Tensor): (N, 3, H, W), the same as the model gets them.
        samples (list, optional): Data samples, for methods that take segments.
        tile (int): Longer side of a tile in px. Defaults to 160.
        files (Sequence[str]): Names of the images. Defaults to none.

    Returns:
        np.ndarray: One uint8 RGB figure.
    """
    plain = None
    if getattr(model, 'norm_pix', False):
        with torch.random.fork_rng():  # so that the next call draws the same mask
            plain, _ = model.reconstruct(x, samples, denormalized=False)
        plain = denormalize(plain, model.data_preprocessor)
    prediction, mask = model.reconstruct(x, samples)
    made = denormalize(prediction, model.data_preprocessor)
    return figure(images, mask[:, 0].cpu().numpy(), made, plain, tile, files)


def run(args: argparse.Namespace) -> None:
    """Shows masked images next to their reconstructions."""
    model = whole_model(
        args.config, args.checkpoint, ['reconstruct'], 'configs/mae, configs/mst and configs/asl do'
    )
    images, files, x, samples = seen_images(model, args)
    save_image(args.out, of_model(model, images, x, samples, files=files))
