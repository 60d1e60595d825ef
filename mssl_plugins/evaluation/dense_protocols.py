"""Segmentation from frozen patch features, without a trained decoder.

- ``patch-knn``: weighted k-NN as of whole images (MST section 4), a key's vote
  being the distribution of classes over the pixels of its patch (ours)
- ``patch-logistic``: logistic regression on the same distributions (ours)
- ``hummingbird``: retrieval from a memory of patches, "Towards in-context scene
  understanding" (arXiv 2306.01667): 30 neighbors, whose distributions a
  cross-attention with temperature 0.02 averages.  The memory's patches are
  chosen as open-hummingbird-eval chooses them.

Each gives (h, w, C) scores of an image's patches.
"""

from typing import Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Tensor

from mssl_plugins.evaluation.knn import SIMILARITIES, nearest

NEIGHBORS, TEMPERATURE = 30, 0.02  # hummingbird's
KS, KNN_TEMPERATURE = (1, 5, 20), 0.07  # of patch-knn


def choose_patches(
    distributions: Sequence[Tensor], memory: int, seed: int, balanced: bool
) -> List[Tensor]:
    """Which patches of the training images are looked into.

    An image gives ``memory // images`` of its labeled patches, at least one,
    or all that it has: drawn with equal chances, or the least of
    ``u * sum(f(c) for the classes c of the patch)`` with u uniform on [0, 1)
    and f(c) the number of patches of the image that hold c, so that rare
    classes are taken first (open-hummingbird-eval).

    Args:
        distributions (Sequence[Tensor]): (P, C) of each image.
        memory (int): Patches in all, at most.
        seed (int): Of the draw.
        balanced (bool): Whether rare classes are taken first.

    Returns:
        list[Tensor]: Ascending indices, one tensor an image.
    """
    each = max(1, memory // len(distributions))
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for distribution in distributions:
        labeled = distribution.sum(1).nonzero().flatten()
        if len(labeled) > each:
            score = torch.rand(len(labeled), generator=generator)
            if balanced:
                held = (distribution[labeled] > 0).float()
                score = score * (held @ held.sum(0))
            labeled = labeled[score.topk(each, largest=False).indices].sort().values
        chosen.append(labeled)
    return chosen


def retrieve(
    queries: Tensor, keys: Tensor, values: Tensor, ks: Sequence[int], temperature: float
) -> Iterator[Dict[int, Tensor]]:
    """Distributions of the nearest keys, averaged with softmax(cosine / T).

    It is the cross-attention of hummingbird over the k nearest keys, and the
    votes of weighted k-NN divided by their sum.

    Args:
        queries (Tensor): (n, P, D) features of images' patches.
        keys (Tensor): (K, D) features.
        values (Tensor): (K, C) distributions.
        ks (Sequence[int]): Numbers of neighbors.
        temperature (float): T.

    Yields:
        dict[int, Tensor]: k -> (P, C), image after image.

    Raises:
        ValueError: If a k is larger than the number of keys.
    """
    if max(ks) > len(keys):
        raise ValueError(f'k = {max(ks)} is larger than the bank of {len(keys)} patches')
    patches = queries.size(1)
    # Few images at once: besides similarities, k distributions of each patch are held.
    held = patches * max(len(keys), max(ks) * values.size(1))
    chunk = patches * max(1, min(len(queries), SIMILARITIES // held))
    for similarity, index in nearest(queries.flatten(0, 1), keys, max(ks), chunk=chunk):
        found = values[index]
        scores = {}
        for k in ks:
            weight = (similarity[:, :k] / temperature).softmax(1)
            scores[k] = (weight[:, None] @ found[:, :k])[:, 0]
        for i in range(0, len(similarity), patches):
            yield {k: s[i : i + patches] for k, s in scores.items()}


def bank_of(features, memory: int, seed: int, balanced: bool) -> Tuple[Tensor, Tensor]:
    """Features and distributions of the patches that are looked into.

    Args:
        features (DenseFeatures): Of the training images.
        memory (int): See :func:`choose_patches`.
        seed (int): Likewise.
        balanced (bool): Likewise.

    Returns:
        tuple[Tensor, Tensor]: (N, D) and (N, C).
    """
    distributions = list(features.distributions())
    chosen = choose_patches(distributions, memory, seed, balanced)
    values = torch.cat([d[c] for d, c in zip(distributions, chosen)])
    return features.bank(chosen), values
