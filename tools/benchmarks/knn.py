"""k-NN search beside scikit-learn's."""

import numpy as np
import torch
from sklearn.neighbors import KNeighborsClassifier

from benchmark import Line
from mssl_plugins.evaluation.knn import knn_predict

QUERIES, KEYS, DIM, CLASSES, K = 10_000, 50_000, 384, 100, 20


def sides():
    """k-NN search over the same features: ours and the other."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((CLASSES, DIM)).astype(np.float32)

    def draw(n):
        labels = rng.integers(CLASSES, size=n)
        x = centers[labels] + rng.standard_normal((n, DIM)).astype(np.float32)
        return x / np.linalg.norm(x, axis=1, keepdims=True), labels

    (queries, _), (keys, labels) = draw(QUERIES), draw(KEYS)
    q, k, y = torch.from_numpy(queries), torch.from_numpy(keys), torch.from_numpy(labels)
    peer = KNeighborsClassifier(K, algorithm='brute', n_jobs=-1).fit(keys, labels)
    return (lambda: knn_predict(q, k, y, k=K, num_classes=CLASSES)), (lambda: peer.predict(queries))


LINES = [
    Line(
        f'k-NN: {QUERIES:,} queries in {KEYS:,} keys of {DIM} dimensions',
        "scikit-learn's brute force",
        2.0,
        sides,
        rounds=3,
    )
]
