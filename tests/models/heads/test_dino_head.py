"""DINO's head against its formula, view by view."""

import copy

import pytest
import torch
from torch import nn

from helpers.dino import (
    DIM,
    B,
    K,
    head_reference,
)
from mssl_plugins.models.heads.dino_head import DINOHead, WeightNormLinear, without_running_stats


def test_head_is_the_formula():
    head = DINOHead(DIM, K, 10, 5).double()
    x = torch.randn(7, DIM, dtype=torch.float64)
    expected = head_reference(x, dict(head.named_parameters()), '')
    torch.testing.assert_close(head(x), expected, rtol=0, atol=1e-12)
    assert head(100 * x).abs().max() <= 1 + 1e-9  # unit prototypes, unit features
    assert not head.last_layer.weight_g.requires_grad
    assert DINOHead(DIM, K, norm_last_layer=False).last_layer.weight_g.requires_grad


def test_prototypes_as_torch_normalizes_weights():
    ours = WeightNormLinear(5, K, fixed_gain=False)
    with torch.no_grad():
        ours.weight_g.uniform_(0.5, 2)
    theirs = nn.utils.weight_norm(nn.Linear(5, K, bias=False))
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(3, 5)
    torch.testing.assert_close(copy.deepcopy(ours)(x), theirs(x))


def test_head_normalizes_each_view_by_itself():
    head = DINOHead(DIM, K, 10, 5, use_bn=True).double()
    x = torch.randn(3 * B, DIM, dtype=torch.float64)
    x[B : 2 * B] += 5
    alone = torch.cat([copy.deepcopy(head)(part) for part in x.chunk(3)])
    torch.testing.assert_close(head(x, 3, 2), alone, rtol=0, atol=1e-10)
    mean = x[: 2 * B] @ head.mlp[0].weight.T + head.mlp[0].bias
    expected = 0
    for part in mean.chunk(2):  # two moves of 0.1, the third view none
        expected = 0.9 * expected + 0.1 * part.mean(0)
    torch.testing.assert_close(head.mlp[1].running_mean, expected)
    assert int(head.mlp[1].num_batches_tracked) == 2
    assert isinstance(head.mlp[1], nn.BatchNorm1d) and head.mlp[1].track_running_stats


def test_without_running_stats_restores_after_an_error():
    bn = nn.BatchNorm1d(3)
    with pytest.raises(RuntimeError), without_running_stats(bn):
        bn(torch.zeros(4, 5))
    assert bn.track_running_stats
