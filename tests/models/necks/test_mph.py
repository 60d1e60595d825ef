"""The mask prediction head: sizes and positions."""

import math

import pytest
import torch
from torch import nn

from mssl_plugins.registry import MODELS


@pytest.mark.parametrize('kind', ['transformer', 'conv'])
def test_mph_keeps_the_map(kind):
    mph = MODELS.build(
        dict(type='mssl_plugins.MPH', in_channels=8, kind=kind, hidden_channels=4, num_heads=2)
    )
    x = torch.randn(2, 8, 5, 7, requires_grad=True)
    (y,) = mph((x,))
    assert y.shape == x.shape
    y.sum().backward()
    assert all(p.grad is not None for p in mph.parameters())


def test_mph_position_follows_the_map():
    """Equal features, told apart by row and column only."""
    mph = MODELS.build(
        dict(type='mssl_plugins.MPH', in_channels=8, hidden_channels=8, num_heads=2)
    ).eval()
    mph.layers = nn.Identity()
    mph.norm = nn.Identity()
    mph.inward.weight.data.zero_()
    mph.inward.bias.data.zero_()
    mph.outward.weight.data = torch.eye(8)
    mph.outward.bias.data.zero_()
    (y,) = mph((torch.zeros(1, 8, 3, 5),))
    omega = [1.0, 0.01]
    for i in range(3):
        for j in range(5):
            row = [f(i * o) for f in (math.sin, math.cos) for o in omega]
            column = [f(j * o) for f in (math.sin, math.cos) for o in omega]
            assert y[0, :, i, j].tolist() == pytest.approx(row + column, abs=1e-6)
