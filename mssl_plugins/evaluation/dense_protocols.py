"""Segmentation from frozen patch features, without a trained decoder.

- ``patch-knn``: weighted k-NN as for whole images (MST section 4); the vote of a
  key is the distribution of classes over the pixels of its patch (ours)
- ``patch-logistic``: logistic regression on the same distributions (ours)
- ``hummingbird``: retrieval from a memory of patches, "Towards in-context scene
  understanding" (arXiv 2306.01667): 30 neighbors, whose distributions a
  cross-attention with temperature 0.02 averages.  The memory's patches are
  chosen as in open-hummingbird-eval.

Each gives (h, w, C) scores for the patches of an image.
"""

from typing import Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Tensor

from mssl_plugins.evaluation.knn_search import SIMILARITIES, nearest

NEIGHBORS, TEMPERATURE = 30, 0.02  # hummingbird's
KS, KNN_TEMPERATURE = (1, 5, 20), 0.07  # of patch-knn


def choose_patches(
    distributions: Sequence[Tensor], memory: int, seed: int, balanced: bool
) -> List[Tensor]:
    """Chooses the patches of the training images that go into the memory.

    An image contributes ``memory // images`` of its labeled patches, at least
    one, or all if it has fewer. They are drawn uniformly, or, if ``balanced``,
    those with the smallest ``u * sum(f(c) for the classes c of the patch)`` are
    taken, with u uniform on [0, 1) and f(c) the number of patches of the image
    that hold c. Rare classes then come first (open-hummingbird-eval).

    Args:
        distributions (Sequence[Tensor]): (P, C) for each image.
        memory (int): Largest number of patches in all.
        seed (int): Seed of the draw.
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

    This equals the cross-attention of hummingbird over the k nearest keys, and
    also the votes of weighted k-NN divided by their sum.

    Args:
        queries (Tensor): (n, P, D) features of images' patches.
        keys (Tensor): (K, D) features.
        values (Tensor): (K, C) distributions.
        ks (Sequence[int]): Numbers of neighbors.
        temperature (float): T.

    Yields:
        dict[int, Tensor]: For each image, k -> (P, C).

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
    """Features and distributions of the patches in the memory.

    Args:
        features (DenseFeatures): Features of the training images.
        memory (int): See :func:`choose_patches`.
        seed (int): See :func:`choose_patches`.
        balanced (bool): See :func:`choose_patches`.

    Returns:
        tuple[Tensor, Tensor]: (N, D) and (N, C).
    """
    distributions = list(features.distributions())
    chosen = choose_patches(distributions, memory, seed, balanced)
    values = torch.cat([d[c] for d, c in zip(distributions, chosen)])
    return features.bank(chosen), values
