"""What masks hide, with the attention that they are made from (MST, section 11)."""

import argparse
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from mssl_plugins.models.masking import check_strategy, token_mask
from mssl_plugins.models.selfsup.mst import MST
from mssl_plugins.visualization.attention import overlay
from mssl_plugins.visualization.canvas import save_image, sheet
from mssl_plugins.visualization.images import seen_images, whole_model


def figure(
    images: np.ndarray,
    masks: Sequence[np.ndarray],
    names: Sequence[str],
    attention: Optional[np.ndarray] = None,
    tile: int = 160,
    files: Sequence[str] = (),
) -> np.ndarray:
    """One row for each image: the image, its attention, and what each mask leaves visible.

    Args:
        images (np.ndarray): (N, H, W, 3) uint8 RGB.
        masks (Sequence[np.ndarray]): (N, H, W) bool each, ``True`` = masked.
        names (Sequence[str]): Names of the masks.
        attention (np.ndarray, optional): (N, rows, columns). Defaults to
            None, not shown.
        tile (int): Longer side of a tile in px. Defaults to 160.
        files (Sequence[str]): Names of the images. Defaults to none.

    Returns:
        np.ndarray: One uint8 RGB figure.
    """
    rows = []
    for i, image in enumerate(images):
        shown = [] if attention is None else [overlay(image, attention[i])]
        seen = [np.where(mask[i][..., None], np.uint8(128), image) for mask in masks]
        rows.append([image, *shown, *seen])
    middle = [] if attention is None else ["teacher's attention"]
    return sheet(rows, ['image', *middle, *names], tile, names=files)


@torch.no_grad()
def teacher_attention(model, view: Tensor, samples: Optional[list] = None) -> Tensor:
    """(B, L) attention of MST's teacher, from which its masks are made.

    Args:
        model (nn.Module): MST.
        view (Tensor): (B, 3, H, W), normalized.
        samples (list, optional): Data samples, for methods that take segments.
            Defaults to None.
    """
    return model.teacher(
        [view], [model.backbone_kwargs(samples, 0)], stat_views=1, attention=True, logits=False
    ).attention[0]


def amounts(name: str, strategy: str, q: float, p: float) -> Tuple[float, float]:
    """The q and p with which a strategy hides as many patches as the model's own.

    ``'random'`` ignores q, so with the p = 1 of MST's attention masks it would
    hide everything.

    Args:
        name (str): The strategy to show.
        strategy (str): The model's own.
        q (float): The model's own.
        p (float): The model's own.

    Returns:
        Tuple[float, float]: q and p of ``token_mask``.
    """
    if (name == 'random') == (strategy == 'random'):
        return q, p
    return (q, q * p) if name == 'random' else (p, 1.0)


def run(args: argparse.Namespace) -> None:
    """Shows which patches each strategy masks.

    Raises:
        ValueError: If strategies are given for a model other than MST.
    """
    for name in args.strategies or ():
        check_strategy(name, 0.0, 0.0)
    model = whole_model(
        args.config, args.checkpoint, ['reconstruct'], 'configs/mst, configs/mae and configs/asl do'
    )
    if args.strategies and not isinstance(model, MST):
        raise ValueError(f'--strategies is for MST, {args.config} is {type(model).__name__}')
    images, files, x, samples = seen_images(model, args)
    if not isinstance(model, MST):
        mask = model.reconstruct([x], samples)[1][:, 0].numpy()
        save_image(args.out, figure(images, [mask], [f'{mask.mean():.0%} hidden'], files=files))
        return
    attention = teacher_attention(model, x, samples)
    names: List[str] = list(args.strategies or [model.strategy])
    masks = [
        token_mask(name, attention, *amounts(name, model.strategy, model.q, model.p))
        for name in names
    ]
    masks = [model.pixels(mask, x)[:, 0].cpu().numpy() for mask in masks]
    grid = attention.unflatten(1, model.grid(x)).cpu().numpy()
    save_image(args.out, figure(images, masks, names, grid, files=files))
