"""ASL's contrast of patches (CVPR 2024, supplement section 12, eq. 3).

A row of the figure shows, for some masked patches, how well the second branch's
prediction fits the pixels of each masked patch of the image: the softmax of the loss.
"""

import argparse
from typing import NamedTuple, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from mssl_plugins.errors import UserError
from mssl_plugins.models.selfsup.asl import ASL
from mssl_plugins.visualization.attention import heat
from mssl_plugins.visualization.canvas import enlarge, save_image, sheet
from mssl_plugins.visualization.images import seen_images, whole_model
from mssl_plugins.visualization.similarity import marked


class Contrast(NamedTuple):
    """The contrast of one batch.

    Attributes:
        masked (Tensor): (B, Lm) long, positions of the masked patches.
        weights (Tensor): (B, Lm, Lm) float32: for each prediction (row) the
            softmax over the masked patches of its image, sum 1.
    """

    masked: Tensor
    weights: Tensor


@torch.no_grad()
def contrast_of(model, x: Tensor, samples: Optional[list] = None) -> Contrast:
    """The softmax of L_single, with the masked patches of each image as its set B.

    Args:
        model (nn.Module): :class:`mssl_plugins.models.selfsup.asl.ASL`, in evaluation mode.
        x (Tensor): (B, 3, H, W), normalized.
        samples (list, optional): Data samples, for methods that take segments.
            Defaults to None.

    Returns:
        Contrast: Of the B images, under masks that torch's generator draws.
    """
    keep, masked = model.sample_mask(x, samples)
    target = model.target(x, masked)  # (B, Lm, D)
    f = model.encode(x, keep, samples)
    second = model.neck(f if model.layer is None else model.layer(f), keep, masked)
    lam = model.contrast.temperature * target.shape[-1]
    distance = torch.cdist(second.double(), target.double()).square()
    return Contrast(masked, (-distance / lam).softmax(-1).float())


def figure(
    images: np.ndarray,
    grid: Sequence[int],
    contrast: Contrast,
    patches: int = 3,
    tile: int = 160,
    files: Sequence[str] = (),
) -> np.ndarray:
    """One row for each image: the image, its visible part, and some predictions' weights.

    Args:
        images (np.ndarray): (N, H, W, 3) uint8 RGB.
        grid (Sequence[int]): Rows and columns of patches.
        contrast (Contrast): The contrast of the N images.
        patches (int): How many predictions to show, spread evenly over the masked
            patches. Defaults to 3.
        tile (int): Longer side of a tile in px. Defaults to 160.
        files (Sequence[str]): Names of the images. Defaults to none.

    Returns:
        np.ndarray: One uint8 RGB figure. A frame marks the patch that is
        predicted. Colors go from 0 to the largest weight in a row.
    """
    count, rows = contrast.masked.shape[1], []
    chosen = [(2 * i + 1) * count // (2 * patches) for i in range(patches)]
    for image, masked, weights in zip(images, contrast.masked, contrast.weights):
        hidden = np.zeros(grid[0] * grid[1], bool)
        hidden[masked.numpy()] = True
        cells = hidden.reshape(grid).repeat(image.shape[0] // grid[0], 0)
        cells = cells.repeat(image.shape[1] // grid[1], 1)[..., None]
        row = [image, np.where(cells, np.uint8(128), image)]
        row = [enlarge(part, tile) for part in row]
        top = float(weights[chosen].max())
        for which in chosen:
            shown = np.zeros(grid[0] * grid[1], np.float32)
            shown[masked.numpy()] = weights[which].numpy()
            shown = heat(shown.reshape(grid), row[0].shape[:2], top=top)
            row.append(marked(shown, grid, *divmod(int(masked[which]), grid[1])))
        rows.append(row)
    titles = ['image', 'seen', *(f'prediction {i + 1} fits' for i in range(patches))]
    return sheet(rows, titles, tile, names=files)


def run(args: argparse.Namespace) -> None:
    """Shows which masked patches some predictions fit.

    Raises:
        UserError: If the model is not ASL, or fewer than one patch is asked for.
    """
    model = whole_model(args.config, args.checkpoint, [], '')
    if not isinstance(model, ASL):
        raise UserError(f'{args.config}: {type(model).__name__} is not ASL; configs/asl are')
    if args.patches < 1:
        raise UserError(f'--patches {args.patches}: must be 1 or more')
    images, files, x, samples = seen_images(model, args)
    contrast = contrast_of(model, x, samples)
    save_image(args.out, figure(images, model.grid, contrast, args.patches, files=files))
