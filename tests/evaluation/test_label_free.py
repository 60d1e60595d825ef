"""Measures without labels, beside loops over pairs and closed forms."""

import math

import numpy as np
import pytest
import torch

from mssl_plugins.evaluation.label_free import alignment, lidar, uniformity, view_retrieval


def unit(x):
    return x / math.sqrt(sum(float(v) ** 2 for v in x))


def test_alignment_and_uniformity_are_loops_over_pairs():
    views = torch.randn(7, 3, 5, dtype=torch.float64)
    pairs = []
    for image in views:
        for i in range(3):
            for j in range(3):
                if i != j:
                    pairs.append(float(((unit(image[i]) - unit(image[j])) ** 2).sum()))
    assert alignment(views) == pytest.approx(np.mean(pairs), rel=1e-12)
    x, kernel = views[:, 0], []
    for i in range(7):
        for j in range(7):
            if i != j:
                kernel.append(math.exp(-2 * float(((unit(x[i]) - unit(x[j])) ** 2).sum())))
    assert uniformity(x) == pytest.approx(math.log(np.mean(kernel)), rel=1e-12)


def test_uniformity_goes_by_blocks(monkeypatch):
    from mssl_plugins.evaluation import label_free

    x = torch.randn(50, 4)
    whole = uniformity(x)
    monkeypatch.setattr(label_free, 'ROWS', 7)
    assert uniformity(x) == pytest.approx(whole, rel=1e-12)


def test_retrieval_is_a_loop_over_views(monkeypatch):
    from mssl_plugins.evaluation import label_free

    views, hits = torch.randn(9, 1, 4) + torch.randn(9, 3, 4), 0
    every = [(n, v, unit(views[n, v])) for n in range(9) for v in range(3)]
    for n, v, x in every:
        others = [(float((x * y).sum()), m) for m, w, y in every if (m, w) != (n, v)]
        hits += max(others)[1] == n
    assert 0.1 < hits / 27 < 0.9
    assert view_retrieval(views) == pytest.approx(hits / 27)
    monkeypatch.setattr(label_free, 'ROWS', 4)
    assert view_retrieval(views) == pytest.approx(hits / 27)


def test_lidar_is_the_rank_of_whitened_centers():
    rng = np.random.default_rng(0)
    views = rng.normal(size=(40, 6, 5)) + 3 * rng.normal(size=(40, 1, 5))
    centers = views.mean(1)
    sb = np.cov(centers.T)
    sw = sum(np.outer(v - c, v - c) for vs, c in zip(views, centers) for v in vs) / (40 * 5)
    w, u = np.linalg.eigh(sw + 1e-4 * np.eye(5))
    root = u @ np.diag(w**-0.5) @ u.T
    p = np.linalg.eigvalsh(root @ sb @ root)
    p = p / p.sum() + 1e-8
    assert lidar(torch.from_numpy(views)) == pytest.approx(
        math.exp(-(p * np.log(p)).sum()), rel=1e-9
    )


def test_limits():
    same = torch.ones(4, 2, 3)
    assert alignment(same) == pytest.approx(0, abs=1e-12)
    assert uniformity(same[:, 0]) == pytest.approx(0, abs=1e-12)
    assert lidar(same) == 0
    # one direction tells the images apart: rank 1
    line = torch.randn(30, 1, 1) * torch.tensor([1.0, 0, 0]) + 0.01 * torch.randn(30, 4, 3)
    assert lidar(line) < 1.2
    with pytest.raises(ValueError, match=r'two views an image .* got \(4, 3\)'):
        alignment(same[:, 0])
    with pytest.raises(ValueError, match='two or more images'):
        uniformity(torch.ones(1, 3))
