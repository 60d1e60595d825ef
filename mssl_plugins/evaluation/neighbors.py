"""Nearest images and nearest patches, by the cosine of frozen features."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mssl_plugins.evaluation.knn_search import nearest


class Patch(NamedTuple):
    """A patch among those of several images.

    Attributes:
        image (int): Index of the image.
        row, column (int): Position in its grid.
        cosine (float): Cosine to the query patch.
    """

    image: int
    row: int
    column: int
    cosine: float


def nearest_images(
    features: Tensor, queries: Sequence[int], k: int, bank: Optional[Sequence[int]] = None
) -> Tuple[Tensor, Tensor]:
    """The images whose features have the largest cosine to those of the queries.

    Args:
        features (Tensor): (N, D), one vector for each image.
        queries (Sequence[int]): Indices of the query images.
        k (int): How many neighbors.
        bank (Sequence[int], optional): Images to search among; the query
            itself is never returned. Defaults to None: all.

    Returns:
        tuple[Tensor, Tensor]: (Q, k) cosines in descending order, and (Q, k)
        int64 indices of images; of equal ones the smaller index first.

    Raises:
        ValueError: If there are fewer than k other images.
    """
    bank = torch.arange(len(features)) if bank is None else torch.as_tensor(bank).long()
    others = len(bank) - max((int((bank == q).sum()) for q in queries), default=0)
    if not 1 <= k <= others:
        raise ValueError(f'{k} neighbors of an image need as many other images, there are {others}')
    query = torch.as_tensor(queries).long()
    found = list(nearest(features[query], features[bank], min(k + 1, len(bank))))
    cosine = torch.cat([c for c, _ in found])
    index = bank[torch.cat([i for _, i in found])]
    own = index == query[:, None]
    # without the query itself, which need not be the first where others equal it
    order = own.long().argsort(dim=1, stable=True)[:, :k]
    return cosine.gather(1, order), index.gather(1, order)


def patch_similarity(patches: Tensor, query: Tensor) -> Tensor:
    """Cosine of each patch to one vector.

    Args:
        patches (Tensor): (..., D) features.
        query (Tensor): (D,).

    Returns:
        Tensor: (...) float32 in [-1, 1].
    """
    return (F.normalize(patches.float(), dim=-1) @ F.normalize(query.float(), dim=0)).clamp(-1, 1)


def nearest_patches(
    maps: Sequence[Tensor], image: int, row: int, column: int, k: int, each: int = 1
) -> List[Patch]:
    """The patches that are most similar to one patch.

    Args:
        maps (Sequence[Tensor]): (h, w, D) patch features of each image.
        image (int): Index of the query patch's image.
        row (int): Row of the query patch in the grid.
        column (int): Column of the query patch in the grid.
        k (int): How many patches.
        each (int): At most this many from one image, as the most similar
            patches are otherwise the adjacent ones. Defaults to 1 (ours).

    Returns:
        list[Patch]: In descending order of the cosine; of equal ones the
        earlier image, then the earlier patch. The query patch is left out;
        there are fewer than k if there are no more.

    Raises:
        ValueError: If there is no such patch.
    """
    if not 0 <= image < len(maps):
        raise ValueError(f'image {image} is none of the {len(maps)}')
    h, w = maps[image].shape[:2]
    if not (0 <= row < h and 0 <= column < w):
        raise ValueError(f'patch ({row}, {column}) lies outside of the grid of {h} x {w}')
    query, found = maps[image][row, column], []
    for number, patches in enumerate(maps):
        cosine = patch_similarity(patches, query).flatten()
        if number == image:
            cosine[row * w + column] = -2.0
        columns = patches.size(1)
        best = cosine.sort(descending=True, stable=True)
        for value, at in zip(best.values[:each].tolist(), best.indices[:each].tolist()):
            if value > -2:
                found.append(Patch(number, at // columns, at % columns, value))
    return sorted(found, key=lambda p: -p.cosine)[:k]
