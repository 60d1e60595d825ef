"""Logistic regression, against scikit-learn and Newton's steps in float64."""

import numpy as np
import pytest
import torch

from helpers.evaluation import blobs
from mssl_plugins.evaluation import logistic
from mssl_plugins.evaluation.logistic import (
    decorrelation,
    logistic_regression,
    loss_and_gradient,
)


def correlated(n=500, d=16, seed=0):
    """Features as networks have them: standard deviations from 1 to 0.003 along slanted axes."""
    x, y = blobs(n, d, seed=seed)
    g = torch.Generator().manual_seed(1)
    axes = torch.linalg.qr(torch.randn(d, d, generator=g)).Q
    return x @ (torch.logspace(0, -2.5, d)[:, None] * axes) + 3, y


def wide(n=500, seed=0):
    """Fewer images than dimensions."""
    return correlated(n // 10, 120, seed)


@pytest.mark.parametrize('make', [blobs, correlated, wide])
def test_it_is_scikit_learns(make):
    from sklearn.linear_model import LogisticRegression

    x, y = make(400)
    test, test_y = make(400, seed=1)
    mean, std = x.double().mean(0), x.double().std(0, unbiased=False)
    model = LogisticRegression(max_iter=5000, tol=1e-8)
    model.fit(((x - mean) / std).numpy(), y.numpy())
    probe = logistic_regression(x, y, 4)
    np.testing.assert_allclose(probe.weight[:, 0].t().numpy(), model.coef_, atol=2e-3)
    expected = model.score(((test - mean) / std).numpy(), test_y.numpy())
    assert probe.accuracy(test, test_y)[0] == pytest.approx(expected)


def test_distributions_and_a_dead_dimension(monkeypatch):
    """(N, C) targets that need not sum to 1, in parts, against an optimizer in float64."""
    monkeypatch.setattr(logistic, 'ROWS', 64)
    x, y = correlated(300)
    x[:, 3] = 7.0
    targets = torch.rand(300, 4, generator=torch.Generator().manual_seed(2))
    targets[torch.arange(300), y] += 2
    targets[:100] /= targets[:100].sum(1, keepdim=True)
    targets[250:] = 0
    strength = 0.3
    probe = logistic_regression(x, targets, 4, strength)
    z = x.double() - x.double().mean(0)
    std = z.std(0, unbiased=False)
    z = torch.where(std > 1e-8, z / std, 0.0)
    weight, bias = (torch.zeros(*s).double().requires_grad_() for s in ((16, 4), (4,)))
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=3000, tolerance_grad=1e-9, line_search_fn='strong_wolfe'
    )

    def closure():
        optimizer.zero_grad()
        loss = -(targets * (z @ weight + bias).log_softmax(1)).sum() * strength
        loss = (loss + weight.square().sum() / 2) / (strength * 300)
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(probe.weight[:, 0].double(), weight.detach(), rtol=0, atol=2e-3)
    torch.testing.assert_close(
        probe.scores(x)[:, 0].double().softmax(1),
        (z @ weight + bias).detach().softmax(1),
        rtol=0,
        atol=1e-3,
    )


def test_axes_decorrelate():
    x, _ = correlated()
    x = (x - x.mean(0)).double()
    axes = decorrelation(x, 0.01)
    covariance = (x @ axes).T @ (x @ axes) / len(x)
    variance = torch.linalg.eigvalsh(x.T @ x / len(x))
    torch.testing.assert_close(covariance, covariance.diagonal().diag(), rtol=0, atol=1e-8)
    torch.testing.assert_close(covariance.diagonal(), variance / (variance + 0.01))
    assert variance[0] < 1e-4 < 1 < variance[-1]
    assert decorrelation(x[:8], 0.01).shape == (16, 8)  # no more axes than images


@pytest.mark.parametrize('soft', [False, True], ids=['labels', 'distributions'])
def test_the_gradient_is_autograds(soft, monkeypatch):
    monkeypatch.setattr(logistic, 'ROWS', 30)
    x, y = blobs(100)
    x = x.double()
    labels = torch.rand(100, 4).double() if soft else y
    weight, bias = torch.randn(12, 4).double(), torch.randn(4).double()
    found = loss_and_gradient(x, labels, weight, bias)
    weight.requires_grad_(), bias.requires_grad_()
    logits = (x @ weight + bias).log_softmax(1)
    target = labels if soft else torch.eye(4).double()[y]
    loss = -(target * logits).sum(1).mean()
    for a, b in zip(found, (loss, *torch.autograd.grad(loss, (weight, bias)))):
        torch.testing.assert_close(a, b)


def test_few_steps_suffice():
    """Features that correlate take as few evaluations as others: they are decorrelated first."""
    calls = {}
    for make in (blobs, correlated):
        seen = []
        logistic_regression(*make(400), 4, progress=seen.append)
        calls[make] = seen[-1]
    assert max(calls.values()) < 40
