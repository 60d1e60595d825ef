"""A mask of the first frame carried through a video by frozen patch features.

Nothing is trained: every patch takes the labels of the most similar patches in
the first frame and in the last 7 frames, at most 12 patches away (DINO, arXiv
2104.14294, section 4.2.2 and appendix; the numbers are those of its released
evaluation: temperature 0.1, the 5 most similar patches).
"""

from collections import deque
from typing import Iterator, Tuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from mssl_plugins.evaluation.knn_search import SIMILARITIES

FRAMES, RADIUS, TOP, TEMPERATURE = 7, 12, 5, 0.1
SHORT, UNIT = 480, 64  # px: short side, and what the long one is a multiple of


def input_sides(height: int, width: int, patch: int, short: int = SHORT) -> Tuple[int, int]:
    """(H, W) in px of a frame as the network's input.

    Args:
        height (int): Height of the frame in px.
        width (int): Width of the frame in px.
        patch (int): Side of a patch in px. Both sides are multiples of it; the
            long side is a multiple of 64 if 64 is a multiple of the patch.
        short (int): Short side in px. Defaults to 480.

    Returns:
        tuple[int, int]: Multiples of ``patch``.
    """
    unit = UNIT if UNIT % patch == 0 else patch
    low = max(short // patch, 1) * patch
    if height > width:
        return max(int(low * height / width) // unit, 1) * unit, low
    return low, max(int(low * width / height) // unit, 1) * unit


def propagate(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    grid: Tuple[int, int],
    radius: int = RADIUS,
    top: int = TOP,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """Labels of a frame's patches, from the labels of other frames.

    Args:
        query (Tensor): (P, D) features.
        keys (Tensor): (n, P, D) features of n frames.
        values (Tensor): (n, P, C) labels of these patches.
        grid (tuple[int, int]): (h, w) with h * w = P.
        radius (int): How many rows and columns away a patch may be. Defaults to 12.
        top (int): How many of the most similar patches, over all frames, count.
            Defaults to 5.
        temperature (float): T of the weights exp(cosine / T). Defaults to 0.1.

    Returns:
        Tensor: (P, C), weighted averages of the labels.
    """
    frames, patches = keys.shape[:2]
    query, keys = F.normalize(query, dim=1), F.normalize(keys, dim=2).flatten(0, 1)
    values = values.flatten(0, 1)
    at = torch.arange(patches, device=query.device)
    row, column = at // grid[1], at % grid[1]
    found = []
    for part in at.split(max(1, SIMILARITIES // len(keys))):
        near = (row[part, None] - row).abs() <= radius
        near &= (column[part, None] - column).abs() <= radius
        weight = (query[part] @ keys.T / temperature).exp()
        weight *= near.repeat(1, frames)
        least = weight.topk(min(top, weight.size(1))).values[:, -1:]
        weight[weight < least] = 0  # equal ones all count
        found.append(weight @ values / weight.sum(1, keepdim=True))
    return torch.cat(found)


def carry(maps: Iterator[Tensor], first: Tensor, frames: int = FRAMES, **given) -> Iterator[Tensor]:
    """Labels of every frame from those of the first.

    Args:
        maps (Iterator[Tensor]): (h, w, D) patch features of each frame.
        first (Tensor): (h, w, C) labels of the first frame.
        frames (int): How many of the last frames are used besides the first.
            Defaults to 7.
        **given: ``radius``, ``top``, ``temperature`` of :func:`propagate`.

    Yields:
        Tensor: (h, w, C) labels of each frame; for the first frame ``first``.
    """
    grid, queue = tuple(first.shape[:2]), deque(maxlen=frames)
    start = (next(maps).flatten(0, 1), first.flatten(0, 1))
    yield first
    for patches in maps:
        patches = patches.flatten(0, 1)
        keys, values = (torch.stack(list(x)) for x in zip(start, *queue))
        labels = propagate(patches, keys, values, grid, **given)
        queue.append((patches, labels))
        yield labels.unflatten(0, grid)


def first_labels(mask: np.ndarray, grid: Tuple[int, int], objects: int) -> Tensor:
    """(h, w, objects + 1) one-hot labels of patches, from the nearest pixel of a mask.

    Args:
        mask (np.ndarray): (H, W) numbers of objects, 0 for the background.
        grid (tuple[int, int]): (h, w).
        objects (int): Largest number that counts.
    """
    small = Image.fromarray(mask.astype(np.uint8)).resize(grid[::-1], Image.Resampling.NEAREST)
    return F.one_hot(
        torch.from_numpy(np.array(small)).long().clamp(max=objects), objects + 1
    ).float()


def to_mask(labels: Tensor, seen: Tuple[int, int], size: Tuple[int, int]) -> np.ndarray:
    """The number of the object at every pixel.

    Args:
        labels (Tensor): (h, w, C) labels of patches.
        seen (tuple[int, int]): (H, W) of the network's input. Labels are
            interpolated to it bilinearly; each object's are then scaled to 0-1.
        size (tuple[int, int]): (H, W) of the frame, to which the mask is resized
            by the nearest pixel.

    Returns:
        np.ndarray: (H, W) uint8; of equal labels the lower number wins.
    """
    large = F.interpolate(labels.permute(2, 0, 1)[None], seen, mode='bilinear')[0]
    low, high = large.amin((1, 2), keepdim=True), large.amax((1, 2), keepdim=True)
    spread = torch.where(high > 0, high - low, 1)
    large = torch.where(high > 0, (large - low) / torch.where(spread > 0, spread, 1), large)
    found = large.argmax(0).byte().cpu().numpy()
    return np.array(Image.fromarray(found).resize(size[::-1], Image.Resampling.NEAREST))
