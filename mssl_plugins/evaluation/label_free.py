"""Measures of learning that need no labels, besides those of collapse.

``alignment`` and ``uniformity``: Wang and Isola (ICML 2020, arXiv 2005.10242).
``lidar``: Thilak et al., "LiDAR" (ICLR 2024, arXiv 2312.04000).
RankMe is :func:`mssl_plugins.evaluation.collapse.effective_rank`.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

ROWS = 2048  # of a block of pairs: 2,048 x 2,048 distances are 32 MiB in float64


def _views(views: Tensor) -> Tensor:
    if views.ndim != 3 or views.size(1) < 2 or not views.numel():
        raise ValueError(
            'features of at least two views an image are needed, (N, V, D), got '
            f'{tuple(views.shape)}'
        )
    if not torch.isfinite(views).all():
        raise ValueError('features hold NaN or infinite values')
    return views.double()


@torch.no_grad()
def alignment(views: Tensor) -> float:
    """Mean squared distance of two views of an image on the unit sphere.

    Args:
        views (Tensor): (N, V, D) features of V >= 2 views of N images; all
            pairs of an image's views are taken.

    Returns:
        float: In [0, 4]: 0 if all views of an image have the same direction, 2
        for unrelated directions.

    Raises:
        ValueError: For fewer than 2 views, or values that are not finite.
    """
    x = F.normalize(_views(views), dim=2)
    count = x.size(1)
    # sum over ordered pairs i != j of |xi - xj|^2 = 2 V^2 - 2 |sum xi|^2
    total = 2 * count**2 - 2 * x.sum(1).square().sum(1)
    return float((total / (count * (count - 1))).mean().clamp_min(0))


@torch.no_grad()
def uniformity(features: Tensor, t: float = 2.0) -> float:
    """How evenly the images' directions cover the sphere.

    Args:
        features (Tensor): (N, D) features of N >= 2 images.
        t (float): Factor of the Gaussian potential. Defaults to 2, the paper's.

    Returns:
        float: log of the mean over pairs of exp(-t |xi - xj|^2): 0 if all
        features are equal, near -2 t if they are spread evenly.

    Raises:
        ValueError: For fewer than 2 images.
    """
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            f'features of two or more images are needed, (N, D), got {tuple(features.shape)}'
        )
    x = F.normalize(features.double(), dim=1)
    total = x.new_zeros(())
    for rows in x.split(ROWS):
        square = (2 - 2 * rows @ x.t()).clamp_min(0)
        total += (-t * square).exp().sum()
    pairs = len(x) * (len(x) - 1)
    return float(((total - len(x)) / pairs).clamp_min(torch.finfo(x.dtype).tiny).log())


@torch.no_grad()
def view_retrieval(views: Tensor) -> float:
    """How often the nearest of all views, by cosine, is of the same image.

    The accuracy of telling images apart, the task of contrastive learning (SimCLR,
    arXiv 2002.05709).  Unlike :func:`alignment` it does not improve when all
    features become alike.

    Args:
        views (Tensor): (N, V, D) features of V >= 2 views of N images.

    Returns:
        float: In [0, 1]; (V - 1) / (N V - 1) by chance.
    """
    x = F.normalize(_views(views), dim=2).flatten(0, 1)  # (N V, D)
    image = torch.arange(len(x)) // views.size(1)
    hits = 0
    for place in torch.arange(len(x)).split(ROWS):
        similar = (x[place] @ x.t()).cpu()
        similar[torch.arange(len(place)), place] = -math.inf  # not itself
        hits += int((image[similar.argmax(1)] == image[place]).sum())
    return hits / len(x)


@torch.no_grad()
def lidar(views: Tensor, delta: float = 1e-4, epsilon: float = 1e-8) -> float:
    """Effective number of directions in which images differ more than their views do.

    In a linear discriminant analysis with images as classes and views as their
    members, it is the effective rank of the between-class covariance, whitened
    by the within-class covariance.

    Args:
        views (Tensor): (N, V, D) features of V >= 2 views of N >= 2 images;
            the paper takes 1,000 images of 50 views, few views are noisier.
        delta (float): Added to the within-class covariance's diagonal.
            Defaults to 1e-4, the paper's.
        epsilon (float): Added to the normalized eigenvalues. Defaults to
            1e-8.

    Returns:
        float: Between 1 and min(N - 1, D).

    Raises:
        ValueError: For fewer than 2 images or 2 views, or values that are not finite.
    """
    x = _views(views)
    if len(x) < 2:
        raise ValueError(f'features of two or more images are needed, got {len(x)}')
    centers = x.mean(1)  # (N, D)
    between = centers - centers.mean(0)
    within = (x - centers.unsqueeze(1)).flatten(0, 1)  # (N V, D)
    sigma_b = between.t() @ between / (len(x) - 1)
    sigma_w = within.t() @ within / (len(x) * (x.size(1) - 1))
    sigma_w.diagonal().add_(delta)
    values, vectors = torch.linalg.eigh(sigma_w)
    whiten = vectors * values.rsqrt()  # (D, D): columns scaled
    eigenvalues = torch.linalg.eigvalsh(whiten.t() @ sigma_b @ whiten).clamp_min(0)
    if eigenvalues.sum() == 0:
        return 0.0
    p = eigenvalues / eigenvalues.sum() + epsilon
    return float(torch.special.entr(p).sum().exp())
