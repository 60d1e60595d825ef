"""Registers, rotary positions and SwiGLU inside our ViT: with masks, kept patches and biases."""

import cmath
import math

import pytest
import torch
from torch.nn import functional as F

from mssl_plugins.models.backbones import ViT
from mssl_plugins.models.layers.mask_bias import segment_coverage
from mssl_plugins.models.layers.rope import RotaryPositions, rotate

SMALL = dict(
    arch=dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=40),
    img_size=32,
    patch_size=8,
    mask_token=True,
)
NEWER = dict(registers=2, rope=dict(), layer_cfgs=dict(ffn_type='swiglu'))


def make(**kwargs):
    torch.manual_seed(0)
    net = ViT(**{**SMALL, **NEWER, **kwargs})
    for p in net.parameters():
        p.data += 0.2 * torch.randn_like(p)
    net.eval()
    return net


def images(rows=4, columns=4):
    torch.manual_seed(1)
    return torch.randn(2, 3, 8 * rows, 8 * columns)


@pytest.mark.parametrize('grid', [(2, 3), (4, 1)])
def test_rotations_are_complex_ones(grid):
    """Dimensions i and i + d / 2 are a complex number, turned by row, then column."""
    rope, d = RotaryPositions(16, base=30.0).double(), 16
    n = d // 4
    x = torch.randn(2, 3, 1 + grid[0] * grid[1], d, dtype=torch.float64)
    found = rotate(x, rope(grid))
    assert torch.equal(found[:, :, 0], x[:, :, 0])  # the token before the patches has no place
    for patch in range(grid[0] * grid[1]):
        places = [
            2 * (k + 0.5) / size - 1 for k, size in zip((patch // grid[1], patch % grid[1]), grid)
        ]
        for i in range(d // 2):
            angle = 2 * math.pi * places[i // n] / 30 ** (i % n / n)
            for b in range(2):
                pair = complex(x[b, 1, 1 + patch, i], x[b, 1, 1 + patch, i + d // 2])
                turned = pair * cmath.exp(1j * angle)
                got = complex(found[b, 1, 1 + patch, i], found[b, 1, 1 + patch, i + d // 2])
                assert abs(got - turned) < 1e-5  # angles are float32


def test_only_training_rescales():
    rope = RotaryPositions(16, rescale=2.0)
    rope.eval()
    torch.manual_seed(0)
    assert torch.equal(rope((3, 3)), RotaryPositions(16)((3, 3)))
    rope.train()
    factors = []
    for _ in range(200):  # the lowest angle, of the slowest period
        factors.append(
            float(rope((3, 3))[0, -1, 3].asin() / RotaryPositions(16)((3, 3))[0, -1, 3].asin())
        )
    assert 0.5 <= min(factors) < 0.6 and 1.7 < max(factors) <= 2.0


@pytest.mark.parametrize(
    'kwargs, words',
    [
        (dict(registers=-1), 'registers must be 0 or more, got -1'),
        (dict(rope=dict(base=1.0)), 'base must be above 1'),
        (dict(rope=dict(rescale=0.5)), 'rescale at least 1'),
        (dict(arch=dict(SMALL['arch'], num_heads=4)), 'width divisible by 4, got 6'),
    ],
)
def test_mistakes(kwargs, words):
    with pytest.raises(ValueError, match=words):
        make(**kwargs)


@torch.no_grad()
def test_registers_work_and_stay_inside():
    net, x = make(), images()
    tokens, attention = net.forward_tokens(x, return_attention=True)
    assert tokens.shape == (2, 17, 24) and attention.shape == (2, 3, 16)
    for out, shape in (('cls_token', (2, 24)), ('featmap', (2, 24, 4, 4)), ('raw', (2, 17, 24))):
        net.out_type = out
        assert net(x)[-1].shape == shape
    assert torch.allclose(net(x)[-1], tokens, atol=1e-6)
    assert float(attention.sum(-1).max()) < 1 - 1e-3  # registers and class token get theirs
    net.register_tokens.data += torch.randn(1, 2, 24)
    assert (net.forward_tokens(x) - tokens).abs().max() > 1e-2


@torch.no_grad()
def test_masks_and_kept_patches_keep_their_places():
    net, x = make(), images(3, 5)
    whole = net.forward_tokens(x)
    order = torch.stack([torch.randperm(15) for _ in range(2)])
    some = net.forward_tokens(x, keep=order)  # all, in another order
    back = torch.take_along_dim(some[:, 1:], order.argsort(1)[..., None], 1)
    assert torch.allclose(back, whole[:, 1:], atol=1e-5)
    assert torch.allclose(some[:, 0], whole[:, 0], atol=1e-5)
    mask = torch.rand(2, 15) < 0.4
    fill = torch.randn(24)
    masked = net.forward_tokens(x, mask=mask, replacement=fill)
    patches = net.patch_embed(x)[0]
    plain = net.patch_embed.forward
    net.patch_embed.forward = lambda _: (torch.where(mask[..., None], fill, patches), (3, 5))
    wanted = net.forward_tokens(x)
    net.patch_embed.forward = plain
    assert torch.allclose(masked, wanted, atol=1e-6)
    assert (masked - whole).abs().max() > 0.1


@torch.no_grad()
def test_a_segment_bias_goes_with_both():
    """The folded bias is the one written out, registers and class token without segments."""
    net, x = make(mask_bias=dict(positive=True, negative=True)), images()
    segments = torch.randint(0, 4, (2, 32, 32))
    coverage = segment_coverage(segments, 8, 4)
    found = net.forward_tokens(x, coverage=coverage)
    one = net.mask_bias
    for a, b in zip(one.a, one.b):
        a.data[:], b.data[:] = one.a[0].data, one.b[0].data  # a relation is one for all layers
    found = net.forward_tokens(x, coverage=coverage)
    relation = one(F.pad(coverage, (0, 0, 3, 0)))[0].matrix()
    assert torch.allclose(found, net.forward_tokens(x, relation=relation), atol=1e-5)
    assert not relation[:, :, :3].any() and relation.abs().max() > 0.01
    assert (found - net.forward_tokens(x)).abs().max() > 1e-3


def test_layers_of_the_newer_parts():
    """Learning rates by depth, and what stands still with frozen stages."""
    net = make(frozen_stages=2)
    assert net.get_layer_depth('register_tokens')[0] == 0
    free = {n for n, p in net.named_parameters() if p.requires_grad}
    assert free == {'mask_token'}  # nothing of what features come from
    assert 'rope.periods' in net.state_dict() and 'pos_embed' not in net.state_dict()


def test_drop_path_in_swiglu():
    net = make(drop_path_rate=0.9)
    net.train()
    x = images()
    torch.manual_seed(0)
    a = net.layers[-1].ffn(torch.ones(2, 3, 24))
    found = {bool((net.layers[-1].ffn(torch.ones(1, 3, 24)) == 1).all()) for _ in range(40)}
    assert found == {True, False} and a.shape == (2, 3, 24)
    net.forward_tokens(x).sum().backward()
    assert net.register_tokens.grad.abs().sum() > 0
