"""k-NN against loops in float64, scikit-learn, and itself in two processes."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from helpers.processes import in_two_processes
from mssl_plugins.evaluation import knn_search
from mssl_plugins.evaluation.knn import knn_accuracy, knn_predict, knn_scores
from mssl_plugins.evaluation.knn_search import nearest


def data(queries=60, keys=700, dims=16, classes=7, seed=0):
    """Features around class centers: near, but not all of one class."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(classes, dims))
    out = []
    for n in (queries, keys):
        labels = rng.integers(0, classes, n)
        x = centers[labels] + 2 * rng.normal(size=(n, dims))
        out += [torch.tensor(x, dtype=torch.float32), torch.tensor(labels)]
    return out  # queries, their labels, keys, their labels


def loop(queries, keys, labels, k, temperature, weighting='exp', normalize=True):
    """The protocol, one query and one key at a time."""
    classes = max(labels.tolist()) + 1
    keys = [key.tolist() for key in keys]
    scores = []
    for query in queries:
        query = query.tolist()
        similar = []
        for i, key in enumerate(keys):
            dot = math.fsum(a * b for a, b in zip(query, key))
            if normalize:
                dot /= math.sqrt(math.fsum(a * a for a in query))
                dot /= math.sqrt(math.fsum(b * b for b in key))
            similar.append((-dot, i))  # equal similarity: earlier key first
        similar.sort()
        votes = [0.0] * classes
        for dot, i in similar[:k]:
            votes[int(labels[i])] += math.exp(-dot / temperature) if weighting == 'exp' else 1.0
        scores.append(votes)
    return torch.tensor(scores, dtype=torch.float64)


@pytest.mark.parametrize(
    'k,temperature,weighting',
    [
        (1, 0.07, 'exp'),
        (10, 0.07, 'exp'),
        (200, 0.1, 'exp'),
        (700, 1.0, 'exp'),
        (10, 0.07, 'uniform'),
        (200, 0.07, 'uniform'),
    ],
)
def test_equals_the_loop(k, temperature, weighting):
    queries, _, keys, labels = data()
    expected = loop(queries, keys, labels, k, temperature, weighting)
    scores = knn_scores(queries, keys, labels, k=k, temperature=temperature, weighting=weighting)
    assert torch.equal(scores.argmax(1), expected.argmax(1))
    assert torch.equal(
        knn_predict(queries, keys, labels, k=k, temperature=temperature, weighting=weighting),
        expected.argmax(1),
    )
    share = expected / expected.sum(1, keepdim=True)
    torch.testing.assert_close(scores / scores.sum(1, keepdim=True), share, atol=1e-5, rtol=0)


@pytest.mark.parametrize('k', [1, 5, 40])
@pytest.mark.parametrize('keys', [41, 300, 1000])
def test_ties_take_the_earlier_key_and_the_lower_label(k, keys, monkeypatch):
    """Small integers: similarities are exact, and most of them tie."""
    monkeypatch.setattr(knn_search, 'KEY_BLOCK', 256)  # groups, and several blocks
    rng = torch.Generator().manual_seed(k + keys)
    queries = torch.randint(-1, 2, (30, 4), generator=rng).float()
    bank = torch.randint(-1, 2, (keys, 4), generator=rng).float()
    labels = torch.randint(0, 5, (keys,), generator=rng)
    index = torch.cat([i for _, i in nearest(queries, bank, k, False)])
    order = torch.sort(-(queries @ bank.T), dim=1, stable=True).indices
    assert torch.equal(index, order[:, :k])
    expected = loop(queries, bank, labels, k, 1.0, 'uniform', False)
    if k == 5:  # it does happen: more winners than queries
        assert (expected.max(1, keepdim=True).values == expected).sum() > 30
    assert torch.equal(
        knn_predict(queries, bank, labels, k=k, weighting='uniform', normalize=False),
        expected.argmax(1),
    )


def test_search_in_blocks_and_chunks_equals_one_sort(monkeypatch):
    queries, _, keys, _ = data(50, 5000)
    queries, keys = (torch.nn.functional.normalize(x) for x in (queries, keys))
    exact = queries.double() @ keys.double().T
    expected = exact.sort(1, descending=True).values[:, :100]
    for block, chunk in ((2**16, None), (2**16, 7), (1000, 16), (64, None)):
        monkeypatch.setattr(knn_search, 'KEY_BLOCK', block)
        found = list(nearest(queries, keys, 100, chunk=chunk))
        sim, index = (torch.cat(part) for part in zip(*found))
        # By value: where two differ by less than float32 shows, either may
        # come first.
        torch.testing.assert_close(exact.gather(1, index), expected, atol=3e-7, rtol=0)
        torch.testing.assert_close(sim.double(), expected, atol=1e-6, rtol=0)
        assert all(len(set(row)) == 100 for row in index.tolist())


def test_uniform_weights_equal_scikit_learn():
    queries, _, keys, labels = data(200, 2000, seed=1)
    theirs = KNeighborsClassifier(20, algorithm='brute', metric='cosine')
    theirs.fit(keys.numpy(), labels.numpy())
    ours = knn_predict(queries, keys, labels, k=20, weighting='uniform')
    assert ours.tolist() == theirs.predict(queries.numpy()).tolist()


def test_exponential_weights_equal_scikit_learn():
    queries, _, keys, labels = data(200, 2000, seed=2)
    theirs = KNeighborsClassifier(
        50,
        algorithm='brute',
        metric='cosine',
        weights=lambda distance: np.exp((1 - distance) / 0.07),
    )
    theirs.fit(keys.numpy(), labels.numpy())
    ours = knn_predict(queries, keys, labels, k=50)
    assert ours.tolist() == theirs.predict(queries.numpy()).tolist()


def test_several_k_from_one_search():
    queries, wanted, keys, labels = data(150)
    top1 = knn_accuracy(queries, wanted, keys, labels, ks=(200, 10, 1))
    assert list(top1) == [1, 10, 200]
    for k, value in top1.items():
        right = knn_predict(queries, keys, labels, k=k) == wanted
        assert value == right.sum().item() / 150
    assert 1 / 7 < top1[10] < 1  # neither chance nor trivial


def test_a_low_temperature_neither_overflows_nor_changes_the_nearest():
    queries, _, keys, labels = data()
    scores = knn_scores(queries, keys, labels, k=50, temperature=1e-4)
    assert scores.isfinite().all()
    assert torch.equal(scores.argmax(1), knn_predict(queries, keys, labels, k=1))


def test_half_precision_features_are_searched_in_float32():
    queries, _, keys, labels = data()
    queries, keys = queries.half(), keys.half()
    assert torch.equal(
        knn_predict(queries, keys, labels, k=20),
        loop(queries.float(), keys.float(), labels, 20, 0.07).argmax(1),
    )


@pytest.mark.parametrize(
    'change,message',
    [
        (dict(k=701), 'k = 701 is larger than the bank of 700'),
        (dict(k=0), 'k must be 1 or more'),
        (dict(temperature=0), 'temperature must be positive'),
        (dict(weighting='exponent'), "did you mean 'exp'"),
        (dict(num_classes=3), 'label 6 does not fit 3 classes'),
        (dict(key_labels=torch.full((700,), -1)), 'is the bank labeled'),
        (dict(key_labels=torch.zeros(3)), 'need as many labels'),
        (dict(queries=torch.zeros(5, 9)), 'queries have 9 dimensions, keys 16'),
        (dict(queries=torch.full((5, 16), torch.nan)), 'queries hold NaN'),
        (dict(keys=torch.zeros(700)), r'keys must be \(N, D\)'),
    ],
)
def test_wrong_input_is_named(change, message):
    queries, _, keys, labels = data()
    kwargs = dict(queries=queries, keys=keys, key_labels=labels)
    with pytest.raises(ValueError, match=message):
        knn_predict(**{**kwargs, **change})


def test_unlabeled_queries_are_refused():
    queries, wanted, keys, labels = data()
    with pytest.raises(ValueError, match='are the queries labeled'):
        knn_accuracy(queries, wanted - 1, keys, labels, ks=[5])


def test_two_processes_equal_one(tmp_path):
    def work():
        queries, wanted, keys, labels = data(61)
        return knn_accuracy(queries, wanted, keys, labels, ks=(5, 100))

    one = work()
    assert in_two_processes(work, tmp_path) == [one, one]
