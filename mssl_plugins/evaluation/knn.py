"""Weighted k-nearest-neighbor classification of frozen features.

The protocol of Wu et al., "Unsupervised feature learning via non-parametric
instance discrimination" (CVPR 2018, section 3.4), as DINO (ICCV 2021) and MST
(section 4: T = 0.07, k = 10/20/100/200) use it: features are L2-normalized,
each of the k most similar keys votes for its class with the weight
exp(similarity / T).

Ties: of equally similar keys the earlier one is nearer, of classes with equal
votes the lower label wins.
"""

from typing import Dict, Optional, Sequence

import torch
from mmengine.dist import all_reduce
from torch import Tensor

from mssl_plugins.distributed import rank_slice
from mssl_plugins.errors import unknown
from mssl_plugins.evaluation.knn_search import nearest

WEIGHTINGS = ('exp', 'uniform')


def _check(
    queries: Tensor,
    keys: Tensor,
    key_labels: Tensor,
    ks: Sequence[int],
    temperature: float,
    weighting: str,
) -> None:
    for name, x in (('queries', queries), ('keys', keys)):
        if x.ndim != 2:
            raise ValueError(f'{name} must be (N, D) features, got {tuple(x.shape)}')
        # Extremes carry NaN and infinity on, a tenth of isfinite()'s time.
        if x.numel() and not torch.isfinite(torch.stack(x.float().aminmax())).all():
            raise ValueError(f'{name} hold NaN or infinite values')
    if queries.size(1) != keys.size(1):
        raise ValueError(f'queries have {queries.size(1)} dimensions, keys {keys.size(1)}')
    if key_labels.shape != keys.shape[:1]:
        raise ValueError(
            f'{len(keys)} keys need as many labels, got a tensor of shape {tuple(key_labels.shape)}'
        )
    if len(key_labels) and key_labels.min() < 0:
        raise ValueError(
            f'labels must be 0 or more, got {int(key_labels.min())}: is the bank labeled?'
        )
    if not ks or min(ks) < 1:
        raise ValueError(f'k must be 1 or more, got {list(ks)}')
    if max(ks) > len(keys):
        raise ValueError(f'k = {max(ks)} is larger than the bank of {len(keys)} keys')
    if weighting not in WEIGHTINGS:
        raise unknown(weighting, WEIGHTINGS, 'k-NN weighting')
    if not temperature > 0:
        raise ValueError(f'temperature must be positive, got {temperature}')


def _votes(
    sim: Tensor, labels: Tensor, num_classes: int, temperature: float, weighting: str
) -> Tensor:
    """(c, C) float64 votes; the nearest key's weight is 1."""
    weight = torch.ones_like(sim, dtype=torch.float64)
    if weighting == 'exp':
        # A factor per query changes no prediction and keeps exp() finite.
        weight = ((sim - sim[:, :1]).double() / temperature).exp()
    votes = weight.new_zeros(len(sim), num_classes)
    return votes.scatter_add_(1, labels, weight)


@torch.no_grad()
def knn_scores(
    queries: Tensor,
    keys: Tensor,
    key_labels: Tensor,
    num_classes: Optional[int] = None,
    k: int = 20,
    temperature: float = 0.07,
    weighting: str = 'exp',
    normalize: bool = True,
    chunk: Optional[int] = None,
) -> Tensor:
    """Votes of the k nearest keys for every class.

    Args:
        queries (Tensor): (Q, D) features.
        keys (Tensor): (K, D) features of the bank.
        key_labels (Tensor): (K,) integer labels, 0 or more.
        num_classes (int, optional): Number of classes C. Defaults to None: the
            largest label + 1.
        k (int): Number of neighbors. Defaults to 20.
        temperature (float): T of the weight exp(similarity / T); no effect on
            uniform weights. Defaults to 0.07.
        weighting (str): 'exp' or 'uniform'. Defaults to 'exp'.
        normalize (bool): Whether to L2-normalize both. Defaults to True.
        chunk (int, optional): Queries a step. Defaults to None: as many as
            keep the similarities below 256 MiB.

    Returns:
        Tensor: (Q, C) float64 votes, scaled so that the nearest key's weight
        is 1.

    Raises:
        ValueError: Where k is larger than the bank, labels are missing or
            shapes do not fit.
    """
    key_labels = key_labels.long()
    _check(queries, keys, key_labels, [k], temperature, weighting)
    num_classes = _num_classes(num_classes, key_labels)
    scores = [
        _votes(sim, key_labels[index], num_classes, temperature, weighting)
        for sim, index in nearest(queries, keys, k, normalize, chunk)
    ]
    return (
        torch.cat(scores)
        if scores
        else torch.zeros(0, num_classes, dtype=torch.float64, device=keys.device)
    )


def knn_predict(*args, **kwargs) -> Tensor:
    """Class of every query; arguments as :func:`knn_scores`.

    Returns:
        Tensor: (Q,) int64 labels; of equal votes the lower label wins.
    """
    return knn_scores(*args, **kwargs).argmax(1)


@torch.no_grad()
def knn_accuracy(
    queries: Tensor,
    query_labels: Tensor,
    keys: Tensor,
    key_labels: Tensor,
    ks: Sequence[int] = (10, 20, 100, 200),
    temperature: float = 0.07,
    weighting: str = 'exp',
    normalize: bool = True,
    chunk: Optional[int] = None,
) -> Dict[int, float]:
    """Top-1 accuracy for several k from one search.

    In a process group every process passes the same tensors, searches for a part
    of the queries, and gets the whole result.

    Args:
        queries (Tensor): (Q, D) features.
        query_labels (Tensor): (Q,) integer labels.
        keys (Tensor): (K, D) features of the bank.
        key_labels (Tensor): (K,) integer labels, 0 or more.
        ks (Sequence[int]): Numbers of neighbors. Defaults to
            (10, 20, 100, 200), MST's.
        temperature (float): As in :func:`knn_scores`. Defaults to 0.07.
        weighting (str): As in :func:`knn_scores`. Defaults to 'exp'.
        normalize (bool): As in :func:`knn_scores`. Defaults to True.
        chunk (int, optional): As in :func:`knn_scores`. Defaults to None.

    Returns:
        dict[int, float]: Accuracy for each k, in 0-1.

    Raises:
        ValueError: As :func:`knn_scores`; also without any query.
    """
    ks = sorted(set(ks))
    key_labels, query_labels = key_labels.long(), query_labels.long()
    _check(queries, keys, key_labels, ks, temperature, weighting)
    if query_labels.shape != queries.shape[:1] or not len(queries):
        raise ValueError(
            f'{len(queries)} queries need at least one label and '
            f'as many, got {tuple(query_labels.shape)}'
        )
    if query_labels.min() < 0:
        raise ValueError(
            f'labels must be 0 or more, got {int(query_labels.min())}: are the queries labeled?'
        )
    num_classes = _num_classes(None, key_labels)
    total = len(queries)
    mine = rank_slice(total)
    mine = slice(mine.start, mine.stop)
    queries, query_labels = queries[mine], query_labels[mine]
    right = torch.zeros(len(ks), dtype=torch.int64, device=keys.device)
    begin = 0
    for sim, index in nearest(queries, keys, ks[-1], normalize, chunk):
        labels, end = key_labels[index], begin + len(sim)
        for i, k in enumerate(ks):
            votes = _votes(sim[:, :k], labels[:, :k], num_classes, temperature, weighting)
            right[i] += (votes.argmax(1) == query_labels[begin:end]).sum()
        begin = end
    all_reduce(right)
    return {k: n / total for k, n in zip(ks, right.tolist())}


def _num_classes(given: Optional[int], labels: Tensor) -> int:
    largest = int(labels.max())
    if given is not None and largest >= given:
        raise ValueError(f'label {largest} does not fit {given} classes')
    return given or largest + 1
