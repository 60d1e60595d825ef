"""Label propagation against loops in float64."""

import math

import numpy as np
import pytest
import torch

from helpers.videos import square
from mssl_plugins.evaluation.label_propagation import (
    carry,
    first_labels,
    propagate,
    to_mask,
)


def propagated_by_loops(query, keys, values, grid, radius, top, temperature):
    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.sqrt(
            sum(x * x for x in a) * sum(y * y for y in b)
        )

    out = []
    for i, q in enumerate(query):
        found = []
        for frame, labels in zip(keys, values):
            for j, k in enumerate(frame):
                if max(abs(i // grid[1] - j // grid[1]), abs(i % grid[1] - j % grid[1])) <= radius:
                    found.append((math.exp(cosine(q, k) / temperature), labels[j]))
        found = sorted(found, key=lambda pair: -pair[0])[:top]
        total = sum(w for w, _ in found)
        out.append([sum(w * v[c] for w, v in found) / total for c in range(len(values[0][0]))])
    return out


@pytest.mark.parametrize('radius, top', [(1, 5), (2, 3), (12, 5), (0, 5)])
def test_propagation_by_loops(radius, top):
    generator = torch.Generator().manual_seed(0)
    grid, frames = (4, 5), 3
    query = torch.randn(20, 6, generator=generator)
    keys = torch.randn(frames, 20, 6, generator=generator)
    values = torch.rand(frames, 20, 3, generator=generator)
    found = propagate(query, keys, values, grid, radius, top, 0.1)
    wanted = propagated_by_loops(
        query.double().tolist(), keys.tolist(), values.tolist(), grid, radius, top, 0.1
    )
    assert (found - torch.tensor(wanted)).abs().max() < 1e-5


def test_the_first_frame_and_the_last_seven_are_looked_at():
    generator = torch.Generator().manual_seed(1)
    grid, count = (2, 3), 11
    maps = [torch.randn(*grid, 4, generator=generator) for _ in range(count)]
    first = torch.rand(*grid, 2, generator=generator)
    found = list(carry(iter(maps), first))
    assert len(found) == count and torch.equal(found[0], first)
    flat, labels = [m.flatten(0, 1).tolist() for m in maps], [first.flatten(0, 1).tolist()]
    for t in range(1, count):
        used = [0, *range(max(1, t - 7), t)]
        labels.append(
            propagated_by_loops(
                flat[t], [flat[i] for i in used], [labels[i] for i in used], grid, 12, 5, 0.1
            )
        )
        assert (found[t].flatten(0, 1) - torch.tensor(labels[t])).abs().max() < 1e-4


def test_labels_of_patches_and_of_pixels():
    mask = square(4, 8, 8, (16, 24)) + square(12, 0, 4, (16, 24), number=2)
    labels = first_labels(mask, (4, 6), 2)
    wanted = np.zeros((4, 6), int)
    wanted[1:3, 2:4], wanted[3, 0] = 1, 2
    assert (labels.argmax(-1).numpy() == wanted).all() and (labels.sum(-1) == 1).all()
    assert (to_mask(labels, (4, 6), (4, 6)) == wanted).all()
    # an object that is faint everywhere is stretched to 0-1
    faint = torch.tensor([[[0.9, 0.1], [0.7, 0.3]]])
    assert to_mask(faint, (1, 2), (1, 2)).tolist() == [[0, 1]]
    assert to_mask(labels, (32, 48), (64, 96)).shape == (64, 96)
