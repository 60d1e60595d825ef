"""Token masks: exact numbers, over many draws, repeatable."""

import math

import pytest
import torch

from mssl_plugins.models.masking import token_mask


@pytest.mark.parametrize('q', [0, 1 / 8, 0.29, 0.5, 1])
@pytest.mark.parametrize('length', [100, 196])
@pytest.mark.parametrize('strategy', ['attention_low', 'attention_high'])
def test_mask_follows_the_attention(strategy, length, q):
    attention = torch.stack([torch.randperm(length) for _ in range(3)]).float()
    mask = token_mask(strategy, attention, q)
    count = {0.29: 29 if length == 100 else 56}.get(q, math.floor(q * length))
    for row, values in zip(mask, attention):
        for masked, value in zip(row, values):  # values are ranks
            rank = value if strategy == 'attention_low' else length - 1 - value
            assert bool(masked) == (rank < count)


def test_equal_attention_masks_the_exact_number():
    mask = token_mask('attention_low', torch.ones(2, 20), 0.25)
    assert mask.sum(1).tolist() == [5, 5]


def test_share_over_many_draws():
    attention = torch.rand(500, 64)
    for strategy in ('attention_low', 'random'):
        share = token_mask(strategy, attention, q=1, p=0.3).double().mean()
        assert abs(float(share) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / attention.numel())
    half = token_mask('attention_low', attention, q=0.5, p=0.5)
    assert not (half & ~token_mask('attention_low', attention, q=0.5)).any()
    assert abs(float(half.double().mean()) - 0.25) < 0.02
    assert abs(float(token_mask('random', attention, q=0, p=0.3).double().mean()) - 0.3) < 0.02


def test_none_and_p0_mask_nothing():
    assert not token_mask('none', torch.rand(3, 9), 1, 1).any()
    for strategy in ('random', 'attention_low', 'attention_high'):
        assert not token_mask(strategy, torch.rand(3, 9), 1, 0).any()


def test_a_generator_makes_it_repeatable():
    a, b = (
        token_mask('random', torch.rand(4, 50), p=0.5, generator=torch.Generator().manual_seed(s))
        for s in (3, 3)
    )
    assert torch.equal(a, b) and a.dtype == torch.bool


@pytest.mark.parametrize(
    'args, text',
    [
        (('attention_lo',), "did you mean 'attention_low'"),
        (('random', 1.5), 'q of the token'),
        (('random', 1, -0.1), 'p of the token'),
    ],
)
def test_mask_refuses(args, text):
    strategy, *rest = args
    with pytest.raises(ValueError, match=text):
        token_mask(strategy, torch.rand(2, 4), *rest)
