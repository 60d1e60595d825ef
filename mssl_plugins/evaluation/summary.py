"""The numbers that are logged for a bank of features and its queries."""

from typing import Dict, Sequence, Tuple

from torch import Tensor

from mssl_plugins.evaluation.collapse import effective_rank, feature_std
from mssl_plugins.evaluation.knn import knn_accuracy


def summarize(
    bank: Tuple[Tensor, Tensor],
    test: Tuple[Tensor, Tensor],
    ks: Sequence[int],
    temperature: float,
    rows: int = 10000,
) -> Dict[str, float]:
    """k-NN accuracy and measures of collapse under their logged names.

    Args:
        bank (tuple[Tensor, Tensor]): Features and labels of the keys.
        test (tuple[Tensor, Tensor]): Those of the queries.
        ks (Sequence[int]): Numbers of neighbors.
        temperature (float): T of the votes.
        rows (int): Number of test features that the measures of collapse use.
            Defaults to 10000.

    Returns:
        dict[str, float]: ``knn/top1_k<k>`` (fractions), ``collapse/std`` and
        ``collapse/erank``.
    """
    top1 = knn_accuracy(*test, *bank, ks=ks, temperature=temperature)
    some = test[0][:rows]
    return {
        **{f'knn/top1_k{k}': v for k, v in top1.items()},
        'collapse/std': feature_std(some),
        'collapse/erank': effective_rank(some),
    }
