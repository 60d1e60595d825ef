"""k-NN search beside scikit-learn's, and beside its one matrix product."""

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier

from benchmark import Line
from mssl_plugins.evaluation.knn import knn_predict
from mssl_plugins.evaluation.knn_search import SIMILARITIES, nearest

QUERIES, KEYS, DIM, CLASSES, K = 10_000, 50_000, 384, 100, 20


def draw():
    """Normalized queries and keys around the centers of classes, and the keys' labels."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CLASSES, DIM)).astype(np.float32)
    parts = []
    for count in (QUERIES, KEYS):
        labels = rng.integers(CLASSES, size=count)
        x = centers[labels] + rng.standard_normal((count, DIM)).astype(np.float32)
        parts.append(x / np.linalg.norm(x, axis=1, keepdims=True))
    return (*map(torch.from_numpy, parts), torch.from_numpy(labels))


def beside_scikit_learn():
    """Our search as it runs on this processor, and scikit-learn's."""
    queries, keys, labels = draw()
    peer = KNeighborsClassifier(K, algorithm='brute', n_jobs=-1).fit(keys, labels)
    return (
        lambda: knn_predict(queries, keys, labels, k=K, num_classes=CLASSES),
        lambda: peer.predict(queries.numpy()),
    )


def beside_product():
    """Our search in float32, and the products of the same chunks."""
    queries, keys, _ = draw()
    chunk = SIMILARITIES // KEYS
    out = torch.empty(chunk, KEYS)

    def product():
        for part in queries.split(chunk):
            torch.mm(part, keys.t(), out=out[: len(part)])

    return lambda: list(nearest(queries, keys, K, rough=False)), product


WHAT = f'{QUERIES:,} queries in {KEYS:,} keys of {DIM} dimensions'
LINES = [
    Line(f'k-NN in float32: {WHAT}', 'its one matrix product', 1.2, beside_product, at_most=True),
    Line(
        f'k-NN with a first pass in bfloat16: {WHAT}',
        "scikit-learn's brute force",
        3.0,
        beside_scikit_learn,
        rounds=3,
        bf16=True,
    ),
]
