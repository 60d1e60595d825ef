"""Measures of collapse: do the features of different images still differ?

``feature_std``: SimSiam (Chen and He, CVPR 2021, section 4.1) watches the
standard deviation of the L2-normalized output, which is 1/sqrt(D) for features
spread evenly over the sphere and 0 when all are the same.
``effective_rank``: Roy and Vetterli, "The effective rank" (EUSIPCO 2007); on
self-supervised features known as RankMe (Garrido et al., ICML 2023).
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def _check(features: Tensor) -> Tensor:
    if features.ndim != 2 or not features.numel():
        raise ValueError(f'features must be (N, D) and not empty, got {tuple(features.shape)}')
    if not torch.isfinite(features).all():
        raise ValueError('features hold NaN or infinite values')
    return features.double()


@torch.no_grad()
def feature_std(features: Tensor) -> float:
    """Spread of the features' directions.

    Args:
        features (Tensor): (N, D) features, not normalized.

    Returns:
        float: sqrt(D) times the mean over dimensions of the standard deviation
        (over samples, population) of the L2-normalized features: 1 = spread
        evenly over the sphere, 0 = collapsed to one direction.
    """
    x = F.normalize(_check(features), dim=1)
    return float(x.std(0, unbiased=False).mean() * x.size(1) ** 0.5)


@torch.no_grad()
def effective_rank(features: Tensor, center: bool = False) -> float:
    """Exp of the entropy of the normalized singular values.

    Args:
        features (Tensor): (N, D) features.
        center (bool): Whether to take the mean off first. Defaults to False,
            as in both papers.

    Returns:
        float: Between 1 (all features on one line) and min(N, D) (all
        directions used equally); 0 if every feature is zero.
    """
    x = _check(features)
    if center:
        x = x - x.mean(0)
    # The smaller Gram matrix has the squared singular values and costs a
    # fraction of the decomposition of 10,000 x 384 features.
    gram = x.t() @ x if x.size(0) > x.size(1) else x @ x.t()
    sigma = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    if sigma.sum() == 0:
        return 0.0
    p = sigma / sigma.sum()
    return float(torch.special.entr(p).sum().exp())
