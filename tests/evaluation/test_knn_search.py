"""The first pass in bfloat16 beside one sort of all similarities."""

import pytest
import torch
from torch.nn.functional import normalize

from mssl_plugins.evaluation import knn_search
from mssl_plugins.evaluation.knn_search import nearest


def clustered(queries=100, keys=6000, dims=48, classes=20, spread=1.0, seed=0):
    rng = torch.Generator().manual_seed(seed)
    centers = torch.randn(classes, dims, generator=rng)

    def draw(n):
        at = torch.randint(classes, (n,), generator=rng)
        return centers[at] + spread * torch.randn(n, dims, generator=rng)

    return draw(queries), draw(keys)


def found(*args, **kwargs):
    return tuple(torch.cat(part) for part in zip(*nearest(*args, **kwargs)))


@pytest.fixture
def unsure(monkeypatch):
    """Counts the queries that are searched again in float32."""
    counted = []
    exact = knn_search._Bank._exact

    def counting(self, queries, block):
        counted.append(len(queries))
        return exact(self, queries, block)

    monkeypatch.setattr(knn_search._Bank, '_exact', counting)
    return counted


@pytest.mark.parametrize('k', [1, 5, 20])
@pytest.mark.parametrize('normalized', [True, False])
@pytest.mark.parametrize('block', [2**16, 2500])
def test_neighbors_are_those_of_one_sort(k, normalized, block, monkeypatch, unsure):
    monkeypatch.setattr(knn_search, 'KEY_BLOCK', block)
    queries, keys = clustered()
    sim, index = found(queries, keys, k, normalized, rough=True, chunk=33)
    if normalized:
        queries, keys = normalize(queries), normalize(keys)
    exact = queries.double() @ keys.double().T
    expected = exact.sort(1, descending=True).values[:, :k]
    tolerance = 1e-6 * float(expected.abs().max())  # within it either may come first
    torch.testing.assert_close(exact.gather(1, index), expected, atol=tolerance, rtol=0)
    torch.testing.assert_close(sim.double(), expected, atol=tolerance, rtol=0)
    assert all(len(set(row)) == k for row in index.tolist())
    parts = -(-6000 // block)
    assert sum(unsure) < 0.2 * parts * len(queries)  # most were found by the first pass


def test_both_ways_find_the_same():
    queries, keys = clustered(200, 9000)
    one, other = (found(queries, keys, 20, rough=rough) for rough in (True, False))
    torch.testing.assert_close(one[0], other[0], atol=1e-6, rtol=0)
    same = one[1] == other[1]
    # at the others, two similarities differ by less than float32 shows
    assert same.float().mean() > 0.999
    assert (one[0] - other[0])[~same].abs().max() < 1e-6 if not same.all() else True


def test_ties_take_the_earlier_key():
    """Every key is there five times, far apart."""
    queries, keys = clustered(50, 1200)
    index = found(queries, keys.repeat(5, 1), 20, rough=True)[1]
    assert torch.equal(index, found(queries, keys.repeat(5, 1), 20, rough=False)[1])
    assert torch.equal(index[:, :5] % 1200, index[:, :1].expand(-1, 5) % 1200)
    assert (index[:, 1:5] > index[:, :4]).all()


def test_similarities_too_near_for_bfloat16_are_searched_in_float32(unsure):
    """An untrained network's features: all nearly the same."""
    queries, keys = clustered(100, 6000, spread=1e-3, classes=1)
    sim, index = found(queries, keys, 20, rough=True, chunk=50)
    assert sum(unsure) == 100  # the first chunk's, then all of the second at once
    exact = normalize(queries).double() @ normalize(keys).double().T
    expected = exact.sort(1, descending=True).values[:, :20]
    torch.testing.assert_close(exact.gather(1, index), expected, atol=1e-6, rtol=0)


def test_the_bound_holds_and_is_not_idle():
    """Rough similarities err by up to the bound, and by more than a twentieth of it."""
    queries, keys = (normalize(x) for x in clustered(300, 3000, dims=384))
    rough, rounded = knn_search._Rough.of(keys), queries.bfloat16()
    exact = queries.double() @ keys.double().T
    err = (rounded.double() @ rough.keys.double().T - exact).abs().amax(1)
    bound = rough.error(queries, rounded).double()
    assert (err <= bound).all() and (err > bound / 20).all()


def test_few_keys_are_searched_in_float32(monkeypatch):
    monkeypatch.setattr(knn_search, 'computes_bfloat16', lambda device: True)
    monkeypatch.setattr(knn_search._Bank, '_rough', None)  # would fail if it were called
    queries, keys = clustered(10, knn_search.FEWEST - 1)
    assert found(queries, keys, 20)[1].shape == (10, 20)
    with pytest.raises(TypeError):
        found(*clustered(10, knn_search.FEWEST), 20)
