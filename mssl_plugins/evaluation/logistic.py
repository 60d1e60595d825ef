"""Multinomial logistic regression on features that are in memory.

It needs no learning rate, unlike the papers' probes: the loss is convex, and
L-BFGS finds its minimum.

L-BFGS needs hundreds of steps if features are correlated, as those of networks are,
and a few dozen if they are not.  It therefore works on decorrelated features x P,
with P from the eigenvectors of their covariance, and optimizes V with W = P V.  The
penalty is still that of W, so the minimum is the same.  The gradient of softmax and
cross-entropy, p - y, is computed directly, and both matrix products are made for a
part of the rows while it is in the cache.
"""

from typing import Callable, Optional, Tuple

import torch
from torch import Tensor

from mssl_plugins.evaluation.probes import LinearProbes, check_features

ROWS = 2048  # at once: 3 MiB of 384 dimensions
# L-BFGS ends when no entry of the gradient exceeds GRADIENT, or a step changes the
# loss by less than CHANGE.
GRADIENT, CHANGE = 1e-5, 1e-9


def logistic_regression(
    features: Tensor,
    labels: Tensor,
    num_classes: int,
    strength: float = 1.0,
    max_iter: int = 500,
    progress: Optional[Callable[[int], None]] = None,
) -> LinearProbes:
    """Logistic regression by L-BFGS on standardized features.

    It minimizes ``strength * sum(cross-entropy) + ||W||^2 / 2``, as scikit-learn's
    ``LogisticRegression(C=strength)`` does; the bias is not penalized.

    Args:
        features (Tensor): (N, D); each dimension is standardized first.
        labels (Tensor): (N,) integers, 0 or more, or (N, C) distributions.
        num_classes (int): C.
        strength (float): Weight of the cross-entropy. Defaults to 1, scikit-learn's.
        max_iter (int): Largest number of iterations of L-BFGS, which stops earlier if
            it has converged. Defaults to 500.
        progress (Callable, optional): Called with the number of evaluations of the
            loss. Defaults to None.

    Returns:
        LinearProbes: One classifier.

    Raises:
        ValueError: See :func:`mssl_plugins.evaluation.probes.check_features`.
    """
    check_features(features, labels, 'training set')
    n = len(features)
    mean = features.float().mean(0)
    std = features.float().std(0, unbiased=False)
    scale = torch.where(std > 1e-8, std.reciprocal(), 1.0)  # a dead dimension stays
    x = (features.float() - mean).mul_(scale)
    # Along an axis the mean loss has a curvature of at most a quarter of the variance, and
    # the penalty one of 1 / (strength n): with this added, the sum is alike on all axes.
    axes = decorrelation(x, 4 / (strength * n))
    x = x @ axes
    inner = axes.T @ axes  # for the penalty: |P V|^2 = tr(V' P'P V)
    weight = x.new_zeros(x.size(1), num_classes)
    bias = x.new_zeros(num_classes)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=max_iter,
        tolerance_grad=GRADIENT,
        tolerance_change=CHANGE,
        history_size=10,
        line_search_fn='strong_wolfe',
    )
    calls = 0

    def closure() -> Tensor:
        nonlocal calls
        loss, weight.grad, bias.grad = loss_and_gradient(x, labels, weight, bias)
        shrunk = inner @ weight
        weight.grad.add_(shrunk, alpha=1 / (strength * n))
        loss = loss + (weight * shrunk).sum().double() / (2 * strength * n)
        calls += 1
        if progress is not None:
            progress(calls)
        return loss

    with torch.no_grad():
        optimizer.step(closure)
    return LinearProbes((axes @ weight)[:, None], bias[None], mean, scale)


def decorrelation(x: Tensor, added: float) -> Tensor:
    """Axes on which centered features are uncorrelated, with a variance of nearly 1.

    Args:
        x (Tensor): (N, D), centered.
        added (float): Added to the variance along each axis before it is
            divided by it.

    Returns:
        Tensor: (D, min(N, D)); the columns of ``x @ axes`` are uncorrelated, of
        variance v / (v + added).
    """
    if len(x) < x.size(1):  # each column of the best W is a weighted sum of the images
        basis = torch.linalg.qr(x.T).Q
        return basis @ decorrelation(x @ basis, added)
    covariance = x.new_zeros(x.size(1), x.size(1))
    for part in x.split(ROWS):
        covariance.addmm_(part.T, part)
    variance, axes = torch.linalg.eigh(covariance.double() / len(x))
    return (axes * (variance.clamp_min(0) + added).rsqrt()).to(x.dtype)


def loss_and_gradient(
    x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor
) -> Tuple[Tensor, Tensor, Tensor]:
    """Mean cross-entropy of softmax(x W + b) and its gradient.

    Args:
        x (Tensor): (N, D).
        labels (Tensor): (N,) integers, or (N, C) distributions.
        weight (Tensor): (D, C).
        bias (Tensor): (C,).

    Returns:
        tuple[Tensor, Tensor, Tensor]: The loss, float64; (D, C); (C,).
    """
    loss = x.new_zeros((), dtype=torch.float64)
    slope, offset = torch.zeros_like(weight), torch.zeros_like(bias)
    for part, y in zip(x.split(ROWS), labels.split(ROWS)):
        logits = torch.addmm(bias, part, weight).log_softmax(1)
        if y.ndim == 1:
            loss -= logits.gather(1, y[:, None]).sum(dtype=torch.float64)
            error = logits.exp_()
            error[torch.arange(len(y), device=y.device), y] -= 1
        else:
            loss -= (logits * y).sum(dtype=torch.float64)
            # Where a distribution sums to less than 1, the softmax has the same weight.
            error = logits.exp_().mul_(y.sum(1, keepdim=True)).sub_(y)
        slope.addmm_(part.T, error)
        offset += error.sum(0)
    return loss / len(x), slope.div_(len(x)), offset.div_(len(x))
