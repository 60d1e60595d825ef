"""How well MPH predicts what the mask hides (MaskCo's supplement, Fig. 1).

The supplement does not say what its figure shows. Our choice: cosine similarity
of MPH's output to the key branch's feature, and the first three principal
components of both.
"""

import argparse
from typing import Sequence, Tuple

import cv2
import numpy as np
import torch

from mssl_plugins.config import read_config
from mssl_plugins.registry import TRANSFORMS
from mssl_plugins.visualization.canvas import denormalize, save_image, sheet
from mssl_plugins.visualization.images import squares, whole_model

TITLES = ('image', 'masked', 'cosine, -1 to 1', 'MPH of masked', 'key of image')


def similarity_map(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Cosine of each cell's features.

    Args:
        predicted (np.ndarray): (C, h, w).
        target (np.ndarray): (C, h, w).

    Returns:
        np.ndarray: (h, w), -1 to 1.
    """
    lengths = np.linalg.norm(predicted, axis=0) * np.linalg.norm(target, axis=0)
    return (predicted * target).sum(0) / np.maximum(lengths, 1e-12)


def components(predicted: np.ndarray, target: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """First three principal components of both maps as colors.

    They are fitted to the two maps together, so colors mean the same in both.

    Arguments as for :func:`similarity_map`.

    Returns:
        Tuple[np.ndarray, np.ndarray]: (h, w, 3) uint8 each.
    """
    c, h, w = target.shape
    cells = np.concatenate([m.reshape(c, -1).T for m in (predicted, target)]).astype(np.float64)
    cells -= cells.mean(0)
    axes = np.linalg.svd(cells, full_matrices=False)[2][:3]
    values = np.zeros((len(cells), 3))  # fewer axes than three leave channels at zero
    values[:, : len(axes)] = cells @ axes.T
    low, high = values.min(0), values.max(0)
    values = (values - low) / np.maximum(high - low, 1e-12)
    first, second = (values * 255).round().astype(np.uint8).reshape(2, h, w, 3)
    return first, second


def figure(
    images: np.ndarray,
    masked: np.ndarray,
    predicted: np.ndarray,
    target: np.ndarray,
    tile: int = 160,
    files: Sequence[str] = (),
    titles: Sequence[str] = TITLES,
) -> np.ndarray:
    """One row for each image: the image, masked, similarity, components of both.

    Args:
        images (np.ndarray): (N, H, W, 3) uint8 RGB.
        masked (np.ndarray): (N, H, W, 3) uint8 RGB.
        predicted (np.ndarray): (N, C, h, w), MPH's output on ``masked``.
        target (np.ndarray): (N, C, h, w), features of ``images``.
        tile (int): Longer side of a tile in px. Defaults to 160.
        files (Sequence[str]): Names of the images. Defaults to none.
        titles (Sequence[str]): Titles of the columns. Defaults to MaskCo's.

    Returns:
        np.ndarray: One uint8 (H, W, 3) RGB figure.
    """
    rows = []
    for image, hidden, ours, theirs in zip(images, masked, predicted, target):
        cosine = ((similarity_map(ours, theirs) + 1) * 127.5).round().clip(0, 255).astype(np.uint8)
        cosine = cv2.cvtColor(cv2.applyColorMap(cosine, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB)
        rows.append([image, hidden, cosine, *components(ours, theirs)])
    return sheet(rows, titles, tile, names=files)


def run(args: argparse.Namespace) -> None:
    """Shows what MaskCo's mask prediction head predicts inside the masked box."""
    model = whole_model(args.config, args.checkpoint, ['dense'], 'configs/maskco do')
    cfg = read_config(args.config)
    sampler = TRANSFORMS.build(cfg.train_dataloader.dataset.pipeline[0]).query_sampler
    images, files = squares(args.images, args.rows, sampler.size, args.seed)
    boxes = sampler.sample(
        np.random.default_rng(args.seed), (0, 0, sampler.size, sampler.size), len(images)
    )
    torch.manual_seed(args.seed)  # of a fill with noise
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    x = model.data_preprocessor(dict(inputs=x))['inputs']
    masked, predicted, target = model.dense(x, torch.from_numpy(boxes).to(x))
    save_image(
        args.out,
        figure(
            images,
            denormalize(masked, model.data_preprocessor),
            predicted.float().cpu().numpy(),
            target.float().cpu().numpy(),
            files=files,
        ),
    )
