"""What the mask-guided bias does to attention ("SAM Helps SSL", BMVC 2024).

The attention of one patch to all others in one block, computed twice from the
same queries and keys: without the bias of the segments, and with it.
"""

import argparse
from typing import Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from mssl_plugins.errors import UserError
from mssl_plugins.models.layers.attention import class_attention
from mssl_plugins.models.selfsup.mask_guided import MaskGuided
from mssl_plugins.visualization.attention import heat
from mssl_plugins.visualization.canvas import enlarge, save_image, sheet
from mssl_plugins.visualization.images import (
    seen_images,
    whole_model,
)
from mssl_plugins.visualization.segments import overlay
from mssl_plugins.visualization.similarity import marked


def strongest_block(bias: nn.Module) -> int:
    """Index of the block whose mean absolute a and b are largest; of equal ones the first."""
    parts = [part for part in (bias.a, bias.b) if part is not None]
    sizes = [
        sum(float(part[i].detach().abs().mean()) for part in parts) for i in range(len(parts[0]))
    ]
    return sizes.index(max(sizes))


def both_attentions(
    backbone: nn.Module, x: Tensor, coverage: Tensor, patches: Sequence[int], block: int
) -> Tuple[Tensor, Tensor]:
    """Attention of a patch of each image without and with the bias.

    Args:
        backbone (nn.Module): ``mssl_plugins.ViT`` with ``mask_bias``.
        x (Tensor): (B, 3, H, W), normalized.
        coverage (Tensor): (B, L, K) segment coverage of the patches.
        patches (Sequence[int]): Index of a patch, 0 to L - 1, for each image.
        block (int): Index of the block.

    Returns:
        tuple[Tensor, Tensor]: (B, L) each, mean over heads, float32.
    """
    attention, given = backbone.layers[block].attn, []
    handle = attention.register_forward_pre_hook(lambda _, inputs: given.append(inputs))
    try:
        with torch.no_grad():
            backbone.forward_tokens(x, coverage=coverage)
    finally:
        handle.remove()
    tokens, bias, relation, _, rotation = given[0]
    with torch.no_grad():
        q, k, _ = attention.project(tokens, rotation)
        found = []
        for used in (None, bias):
            rows = []
            for i, patch in enumerate(patches):
                one = slice(i, i + 1)
                here = None if used is None else used._replace(vectors=used.vectors[one])
                token = patch + backbone.prefix_tokens
                row = class_attention(q[one], k[one], here, relation, token)[0].mean(0)
                rows.append(row[backbone.prefix_tokens - 1 :])  # without registers
            found.append(torch.stack(rows).float())
    return found[0], found[1]


def figure(
    images: np.ndarray,
    segments: Sequence[np.ndarray],
    without: np.ndarray,
    biased: np.ndarray,
    cells: Sequence[Tuple[int, int]],
    block: int = 0,
    tile: int = 160,
    files: Sequence[str] = (),
) -> np.ndarray:
    """One row for each image: the image with the patch, its segments, both attentions.

    Args:
        images (np.ndarray): (N, H, W, 3) uint8 RGB.
        segments (Sequence[np.ndarray]): N label maps (H, W).
        without (np.ndarray): (N, rows, columns), attention without the bias.
        biased (np.ndarray): (N, rows, columns), attention with it, shown on the same
            scale of colors.
        cells (Sequence[tuple[int, int]]): (row, column) of each image's patch.
        block (int): Index of the block, for the titles. Defaults to 0.
        tile (int): Longer side of a tile in px. Defaults to 160.
        files (Sequence[str]): Names of the images. Defaults to none.

    Returns:
        np.ndarray: One uint8 RGB figure.
    """
    rows = []
    for image, labels, plain, guided, cell in zip(images, segments, without, biased, cells):
        size = (tile, tile)
        top = max(float(plain.max()), float(guided.max()))
        maps = [heat(m, size, top=top) for m in (plain, guided)]
        shown = [enlarge(image, tile), overlay(image, labels, tile), *maps]
        rows.append([marked(part, plain.shape, *cell) for part in shown])
    titles = ['image', 'segments', f'block {block + 1}, no bias', 'with the bias']
    return sheet(rows, titles, tile, names=files)


def run(args: argparse.Namespace) -> None:
    """Shows what the bias adds to the attention of a patch.

    Raises:
        UserError: If the model has no bias of segments, or no such block; if there are
            other numbers of places and images.
    """
    model = whole_model(args.config, args.checkpoint, [], '')
    if not isinstance(model, MaskGuided):
        raise UserError(
            f'{args.config}: {type(model).__name__} has no bias of segments; configs of phase 1 in '
            'configs/mask_guided have'
        )
    backbone = model.backbone
    blocks = len(backbone.layers)
    if args.block is not None and not 1 <= args.block <= blocks:
        raise UserError(f'--block {args.block}: the network has the blocks 1 to {blocks}')
    block = strongest_block(backbone.mask_bias) if args.block is None else args.block - 1
    images, files, x, samples = seen_images(model, args)
    places = args.at or [[50.0, 50.0]]
    if len(places) == 1:
        places = places * len(images)
    if len(places) != len(images):
        raise UserError(f'--at: {len(places)} places for {len(images)} images')
    side = images.shape[1] // backbone.patch_size
    cells = [_cell(place, side) for place in places]
    found = both_attentions(
        backbone,
        x,
        model.backbone_kwargs(samples, 0)['coverage'],
        [row * side + column for row, column in cells],
        block,
    )
    maps = [m.unflatten(1, (side, side)).numpy() for m in found]
    segments = [sample.view_segments[0] for sample in samples]
    save_image(args.out, figure(images, segments, *maps, cells, block, files=files))


def _cell(place: Sequence[float], side: int) -> Tuple[int, int]:
    x, y = place
    if not (0 <= x <= 100 and 0 <= y <= 100):
        raise UserError(f'--at {x:g} {y:g}: in %, from 0 to 100')
    return tuple(min(int(v / 100 * side), side - 1) for v in (y, x))
