"""Measures of collapse against loops and known cases."""

import math

import numpy as np
import pytest
import torch

from mssl_plugins.evaluation import effective_rank, feature_std


def loop_std(features):
    rows = []
    for row in features.double().tolist():
        length = math.sqrt(math.fsum(v * v for v in row))
        rows.append([v / length for v in row])
    count, dims, total = len(rows), len(rows[0]), 0.0
    for d in range(dims):
        mean = math.fsum(row[d] for row in rows) / count
        total += math.sqrt(math.fsum((row[d] - mean) ** 2 for row in rows) / count)
    return math.sqrt(dims) * total / dims


@pytest.mark.parametrize('shape', [(40, 7), (9, 30)])
def test_equal_the_loops(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)) + 1
    assert feature_std(x) == pytest.approx(loop_std(x), abs=1e-9)
    sigma = np.linalg.svd(x.double().numpy(), compute_uv=False)
    entropy = -sum(s / sigma.sum() * math.log(s / sigma.sum()) for s in sigma)
    assert effective_rank(x) == pytest.approx(math.exp(entropy), rel=1e-6)


def test_spread_features_are_at_the_top():
    x = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    assert feature_std(x) == pytest.approx(1, abs=0.02)
    assert effective_rank(x) > 62
    assert effective_rank(torch.eye(16)) == pytest.approx(16)


def test_collapsed_features_are_at_the_bottom():
    row = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    same = row.expand(200, -1)
    assert feature_std(same) == pytest.approx(0, abs=1e-6)
    assert effective_rank(same) == pytest.approx(1, abs=1e-3)
    scaled = same * torch.arange(1, 201)[:, None]  # one direction, any length
    assert feature_std(scaled) == pytest.approx(0, abs=1e-6)
    assert effective_rank(scaled) == pytest.approx(1, abs=1e-3)
    assert effective_rank(torch.zeros(5, 3)) == 0


def test_dimensional_collapse_shows_in_the_rank_only():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(500, 4, generator=rng) @ torch.randn(4, 64, generator=rng)
    assert effective_rank(x) < 4.01
    assert feature_std(x) > 0.8


def test_centring_takes_the_mean_off():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(500, 16, generator=rng)
    shifted = x + 100
    assert effective_rank(shifted) < 2
    assert effective_rank(shifted, center=True) == pytest.approx(
        effective_rank(x, center=True), rel=1e-4
    )


@pytest.mark.parametrize('measure', [feature_std, effective_rank])
@pytest.mark.parametrize(
    'features', [torch.zeros(4), torch.zeros(0, 4), torch.full((3, 3), torch.nan)]
)
def test_wrong_input_is_named(measure, features):
    with pytest.raises(ValueError, match='features'):
        measure(features)
