"""Mask-guided attention bias: token vectors, and the bias folded into the attention."""

from gc import collect  # before the tests' own, which does nothing

import numpy as np
import pytest
import torch
from torch import nn

from helpers.segments import vectors_by_hand
from mssl_plugins.models.backbones.vit import ViT
from mssl_plugins.models.layers.attention import attend
from mssl_plugins.models.layers.mask_bias import MaskBias, segment_coverage

K = 16


@pytest.mark.parametrize(
    'dtype, top',
    [
        (torch.uint8, 3),
        (torch.uint8, 20),
        (torch.uint16, 3000),
        (torch.int32, 20),
        (torch.int64, 10**9),
    ],
)
def test_segment_coverage_is_the_coverage_by_the_largest_segments(dtype, top):
    rng = np.random.default_rng(0)
    labels = np.unique(np.append(rng.integers(1, top + 1, 30), top))
    segments = rng.choice(np.append(labels, 0), (3, 12, 20))
    segments[1, :6] = top  # areas differ between images
    segments[2] = 0  # no segment at all
    got = segment_coverage(torch.from_numpy(segments).to(dtype), 4, 5)
    assert got.dtype == torch.float32 and got.shape == (3, 15, 5)
    np.testing.assert_allclose(got, vectors_by_hand(segments, 4, 5), rtol=0, atol=1e-6)
    assert got.sum(-1).max() <= 1 and not got[2].any()
    assert got[1].sum(0).argmax() == 0, 'the largest segment comes first'


def test_an_image_without_background_keeps_its_segments():
    segments = torch.tensor([[[70000, 70000], [70000, 9]]])
    assert segment_coverage(segments, 2, 2).tolist() == [[[0.75, 0.25]]]


@pytest.mark.parametrize(
    'segments, error, words',
    [
        (torch.zeros(1, 8, 8), TypeError, 'integer label map'),
        (torch.zeros(8, 8, dtype=torch.long), ValueError, r'\(B, H, W\)'),
        (torch.zeros(1, 8, 10, dtype=torch.long), ValueError, '8 x 10 px'),
        (torch.full((1, 8, 8), -1), ValueError, 'got -1'),
    ],
)
def test_wrong_segments_are_refused(segments, error, words):
    with pytest.raises(error, match=words):
        segment_coverage(segments, 4)


def small_vit(**bias):
    torch.manual_seed(0)
    vit = ViT(
        dict(embed_dims=64, num_layers=3, num_heads=2, feedforward_channels=96),
        img_size=32,
        patch_size=8,
        mask_bias=bias,
    )
    for name, p in vit.named_parameters():
        if 'mask_bias' not in name:
            nn.init.normal_(p, std=0.2)
    return vit


def batch(size=32, patch=8):
    torch.manual_seed(1)
    x = torch.randn(2, 3, size, size)
    segments = torch.randint(0, 9, (2, size // 4, size // 4))
    segments = segments.repeat_interleave(4, 1).repeat_interleave(4, 2).roll(3, 2)
    return x, segment_coverage(segments, patch, K)


def written_out(vit, vectors, layer):
    """a <c_i, c_j> + b (s_i s_j - <c_i, c_j>) by loops over heads and pairs of tokens."""
    c = torch.cat([torch.zeros_like(vectors[:, :1]), vectors], 1)  # [CLS] first
    heads = []
    for h in range(2):
        a = vit.mask_bias.a[layer][h] if vit.mask_bias.a is not None else 0
        b = vit.mask_bias.b[layer][h] if vit.mask_bias.b is not None else 0
        heads.append(
            torch.stack(
                [
                    torch.stack(
                        [
                            torch.stack(
                                [
                                    a * (ci * cj).sum()
                                    + b * (ci.sum() * cj.sum() - (ci * cj).sum())
                                    for cj in image
                                ]
                            )
                            for ci in image
                        ]
                    )
                    for image in c
                ]
            )
        )
    return torch.stack(heads, 1)


@pytest.mark.parametrize('bias', [dict(), dict(negative=True), dict(positive=False, negative=True)])
def test_folded_bias_equals_explicit_bias(bias):
    """Values and gradients of everything, a and b too; the reference runs in float64."""
    vit, (x, c) = small_vit(**bias), batch()
    for p in vit.mask_bias.parameters():
        nn.init.normal_(p)
    parameters = dict(vit.named_parameters())
    target = torch.randn(2, 17, 64)

    out = vit.forward_tokens(x, coverage=c)
    got = torch.autograd.grad((out * target).mean(), list(parameters.values()))
    out, got = out.detach(), [g.double() for g in got]

    vit.double()
    tokens = vit._embed(*vit.patch_embed(x.double()))
    for i, layer in enumerate(vit.layers):
        logits = written_out(vit, c.double(), i)
        q, k, v = layer.attn.qkv(layer.ln1(tokens)).view(2, 17, 3, 2, 32).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) / 32**0.5 + logits).softmax(-1)
        tokens = tokens + layer.attn.proj((weights @ v).transpose(1, 2).reshape(2, 17, 64))
        tokens = layer.ffn(layer.ln2(tokens), identity=tokens)
    want_out = vit.ln1(tokens)
    parameters = dict(vit.named_parameters())
    want = torch.autograd.grad((want_out * target).mean(), list(parameters.values()))

    torch.testing.assert_close(out.double(), want_out.detach(), rtol=1e-5, atol=1e-5)
    for name, a, b in zip(parameters, got, want):
        scale = b.abs().max().clamp(min=1e-3)
        assert (a - b).abs().max() <= 1e-5 * scale + 1e-7, name
        if name.startswith('mask_bias'):
            assert b.abs().max() > 1e-6, f'{name} has no gradient to compare'
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_folded_equals_explicit_matrix_and_composes_with_a_relation():
    vit, (x, c) = small_vit(negative=True), batch()
    for p in vit.mask_bias.parameters():
        nn.init.constant_(p, 0.7)
    relation = torch.randn(2, 2, 17, 17)
    bias = vit.mask_bias(nn.functional.pad(c, (0, 0, 1, 0)))[0]
    folded = vit.forward_tokens(x, coverage=c, relation=relation)
    explicit = vit.forward_tokens(x, relation=relation + bias.matrix())
    torch.testing.assert_close(folded, explicit, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(folded, vit.forward_tokens(x), atol=1e-2)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('trainable', [True, False])
@pytest.mark.parametrize('bias', [dict(), dict(negative=True)])
def test_zero_bias_is_the_plain_network_bit_for_bit(bias, trainable, dtype):
    vit, (x, c) = small_vit(**bias), batch()
    vit.mask_bias.requires_grad_(trainable)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        biased = vit.forward_tokens(x, coverage=c)
        assert torch.equal(biased, vit.forward_tokens(x))
    if trainable:  # zero is where training starts, so the gradient must be there
        biased.float().pow(3).sum().backward()
        assert all(p.grad.abs().max() > 0 for p in vit.mask_bias.parameters())


def test_the_bias_of_one_segment_draws_its_tokens_together():
    """Sign of a: with a large a, tokens attend to their own segment."""
    bias = MaskBias(1, 1)
    nn.init.constant_(bias.a[0], 50.0)
    c = torch.eye(2).repeat_interleave(2, 0)[None]  # tokens 0, 1 | 2, 3
    q = torch.zeros(1, 1, 4, 8)
    v = torch.eye(4, 8)[None, None]
    out = attend(q, q, v, bias(c)[0])[0, :, :4]
    expected = torch.block_diag(torch.full((2, 2), 0.5), torch.full((2, 2), 0.5))
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-6)


def test_dropped_tokens_take_their_vectors_along():
    vit, (x, c) = small_vit(), batch()
    for p in vit.mask_bias.parameters():
        nn.init.normal_(p)
    keep = torch.stack([torch.randperm(16)[:6] for _ in range(2)])
    out = vit.forward_tokens(x, keep=keep, coverage=c)
    inside = torch.cat([torch.zeros(2, 1, dtype=torch.long), keep + 1], 1)
    full = vit.mask_bias(nn.functional.pad(c, (0, 0, 1, 0)))
    patches, grid = vit.patch_embed(x)
    tokens = vit._embed(patches, grid).gather(1, inside[..., None].expand(-1, -1, 64))
    for layer, bias in zip(vit.layers, full):
        matrix = torch.stack([m[:, i][:, :, i] for m, i in zip(bias.matrix(), inside)])
        tokens = layer(tokens, None, matrix)
    torch.testing.assert_close(out, vit.ln1(tokens), rtol=1e-5, atol=1e-5)


def test_several_backward_passes_and_no_grad():
    vit, (x, c) = small_vit(), batch()
    for p in vit.mask_bias.parameters():
        nn.init.normal_(p)
    loss = vit.forward_tokens(x, coverage=c).pow(3).mean()
    first = torch.autograd.grad(loss, vit.pos_embed, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, vit.pos_embed)[0])
    with torch.no_grad():
        again = vit.forward_tokens(x, coverage=c).pow(3).mean()
    assert torch.equal(loss, again)


def peak(run):
    """Most bytes allocated at once while ``run()`` runs, less those at its start."""
    collect()  # what earlier tests left is not freed meanwhile
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        run()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == '[memory]']
    clock = 'start_ns' if hasattr(events[0], 'start_ns') else 'start_us'
    events.sort(key=lambda e: getattr(e, clock)())
    return int(np.cumsum([e.nbytes() for e in events]).max())


@pytest.mark.parametrize('negative', [False, True])
def test_peak_memory_at_vit8_grows_by_at_most_a_tenth(negative):
    """785 tokens, heads of 64, K = 32, 12 layers, as ViT-S/8 at 224 px; fewer heads."""
    vit = ViT(
        dict(embed_dims=64, num_layers=12, num_heads=1, feedforward_channels=256),
        patch_size=8,
        mask_bias=dict(negative=negative),
    )
    nn.init.constant_(vit.mask_bias.a[0], 0.1)
    x, c = torch.randn(1, 3, 224, 224), torch.rand(1, 784, 32) / 32

    def step(vectors):
        vit.zero_grad()
        vit.forward_tokens(x, coverage=vectors).mean().backward()

    step(c)
    plain, biased = peak(lambda: step(None)), peak(lambda: step(c))
    # one N x N tensor a layer would double it
    assert 12 * 12 * 785 * 64 * 4 < plain < 12 * 785**2 * 4 * 1.5
    assert biased <= (1.09 if negative else 1.06) * plain, f'{biased / plain:.3f}'


def test_wrong_use_of_the_bias_is_refused():
    x, c = batch()
    with pytest.raises(ValueError, match='positive=False and negative=False'):
        small_vit(positive=False, negative=False)
    with pytest.raises(ValueError, match=r'mask_bias=dict\(positive=True\)'):
        ViT('deit-tiny', img_size=32, patch_size=8).forward_tokens(x, coverage=c)
    with pytest.raises(ValueError, match=r'\(2, 16\).*\(2, 15, 16\)'):
        small_vit().forward_tokens(x, coverage=c[:, 1:])


@pytest.mark.parametrize(
    'bias, start',
    [
        (dict(init=2.0), dict(a=2.0)),
        (dict(negative=True, init=2.0), dict(a=2.0, b=2.0)),
        (dict(negative=True, init=dict(positive=2.0)), dict(a=2.0, b=0.0)),
        (dict(positive=False, negative=True, init=dict(negative=-1.0)), dict(b=-1.0)),
        (dict(negative=True), dict(a=0.0, b=0.0)),
    ],
)
def test_where_the_bias_starts(bias, start):
    """Frozen at 2 the network is the one with the explicit bias; at 0 the plain one."""
    vit, (x, c) = small_vit(**bias), batch()
    assert {n[0]: float(p[0]) for n, p in vit.mask_bias.named_parameters()} == start
    vit.init_weights()  # does not touch it
    vit.mask_bias.requires_grad_(False)
    out, plain = vit.forward_tokens(x, coverage=c), vit.forward_tokens(x)
    tokens = vit._embed(*vit.patch_embed(x))
    for i, layer in enumerate(vit.layers):
        tokens = layer(tokens, None, written_out(vit, c, i))
    torch.testing.assert_close(out, vit.ln1(tokens), rtol=1e-5, atol=1e-5)
    assert torch.equal(out, plain) == (not any(start.values()))


def test_a_start_of_an_absent_relation_is_refused():
    with pytest.raises(ValueError, match='allowed are positive'):
        MaskBias(1, 1, init=dict(negative=2.0))
