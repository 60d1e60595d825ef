"""DINO's loss and its center against loops in float64."""

import math

import pytest
import torch

from helpers.dino import (
    B,
    K,
    loss_reference,
)
from mssl_plugins.models.losses.dino import DINOLoss


def test_loss_and_center():
    g = torch.Generator().manual_seed(3)
    student = torch.randn(4, B, K, generator=g, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, B, K, generator=g, dtype=torch.float64)
    loss = DINOLoss(K, teacher_temp=0.06).double()
    loss.center.copy_(torch.randn(K, generator=g))
    expected = loss_reference(student, teacher, loss.center, 0.1, 0.06)
    given = loss(student, teacher)
    assert float(given.detach()) == pytest.approx(float(expected.detach()), abs=1e-9)
    (ours,) = torch.autograd.grad(given, student)
    (theirs,) = torch.autograd.grad(expected, student)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)

    before = loss.center.clone()
    loss.update(teacher)
    for k in range(K):
        mean = sum(float(teacher[t, b, k]) for t in range(2) for b in range(B)) / (2 * B)
        assert float(loss.center[k]) == pytest.approx(0.9 * float(before[k]) + 0.1 * mean, abs=1e-9)
    assert 'center' in loss.state_dict()


def test_loss_runs_in_float32_under_bf16():
    loss = DINOLoss(K)
    z = torch.randn(3, B, K)
    with torch.autocast('cpu', torch.bfloat16):
        value = loss(z.bfloat16(), z[:2].bfloat16())
    assert value.dtype == torch.float32
    expected = loss(z.bfloat16().float(), z[:2].bfloat16().float())
    torch.testing.assert_close(value, expected)


def test_uniform_teacher_gives_log_k():
    assert float(DINOLoss(K)(torch.zeros(2, B, K), torch.zeros(2, B, K))) == pytest.approx(
        math.log(K)
    )


@pytest.mark.parametrize(
    'kwargs, text',
    [
        (dict(teacher_temp=0), 'positive'),
        (dict(student_temp=-1), 'positive'),
        (dict(center_momentum=1.5), r'\[0, 1\]'),
    ],
)
def test_loss_refuses(kwargs, text):
    with pytest.raises(ValueError, match=text):
        DINOLoss(K, **kwargs)


def test_one_view_cannot_be_compared():
    with pytest.raises(ValueError, match='at least 2'):
        DINOLoss(K)(torch.zeros(1, B, K), torch.zeros(1, B, K))
