"""Attention in bfloat16 on a CPU, written out, beside float64 and the fused kernel."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mssl_plugins.models.layers import attention
from mssl_plugins.models.layers.attention import softmax_attention
from mssl_plugins.models.necks import mae_decoder
from mssl_plugins.models.necks.mae_decoder import MAEDecoder


def inputs(dtype=torch.bfloat16, tokens=9):
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, tokens, 8, generator=rng).to(dtype) for _ in range(3)]


def loop(q, k, v, mask, scale):
    """In float64, one query at a time."""
    out = torch.zeros_like(q, dtype=torch.float64)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            for i in range(q.shape[2]):
                logits = [
                    scale * float(q[b, h, i].double() @ k[b, h, j].double())
                    + float(mask[0, h, i, j])
                    for j in range(k.shape[2])
                ]
                weights = torch.tensor(logits, dtype=torch.float64).exp()
                out[b, h, i] = (weights / weights.sum()) @ v[b, h].double()
    return out


@pytest.mark.parametrize('dtype, tolerance', [(torch.bfloat16, 0.04), (torch.float32, 1e-5)])
@pytest.mark.parametrize('scale', [None, 0.5])
@pytest.mark.parametrize('masked', [False, True])
@pytest.mark.parametrize('queries', [9, 4])
def test_equals_loops(dtype, tolerance, scale, masked, queries):
    q, k, v = inputs(dtype)
    q, mask = q[:, :, :queries], torch.zeros(1, 3, queries, 9, dtype=dtype)
    if masked:
        mask.normal_(generator=torch.Generator().manual_seed(1))
    expected = loop(q, k, v, mask, 8**-0.5 if scale is None else scale)
    found = softmax_attention(q, k, v, mask if masked else None, scale=scale)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=0)


def test_gradients_are_those_of_float64():
    gradients = []
    for dtype in (torch.bfloat16, torch.float64):
        # values that bfloat16 holds; laid out as a block's, tokens before heads
        q, k, v = (x.transpose(1, 2).contiguous().to(dtype).requires_grad_() for x in inputs())
        out = softmax_attention(*(x.transpose(1, 2) for x in (q[:, :4], k, v)), scale=0.5)
        (out.double() * torch.arange(out.numel()).view(out.shape).sin()).sum().backward()
        gradients.append([leaf.grad.double() for leaf in (q, k, v)])
    for ours, theirs in zip(*gradients):
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


@pytest.mark.parametrize(
    'way',
    [
        torch.compile(softmax_attention, backend='aot_eager', fullgraph=True),
        partial(checkpoint, softmax_attention, use_reentrant=False),
    ],
    ids=['compiled', 'computed again'],
)
def test_it_is_the_same_in_other_ways(way):
    seen = []
    for function in (softmax_attention, way):
        q, k, v = inputs()
        q.requires_grad_(), v.requires_grad_()  # the keys get no gradient
        out = function(q, k, v)
        out.square().sum().backward()
        seen.append([out, q.grad, v.grad])
    for a, b in zip(*seen):
        torch.testing.assert_close(a, b)


def test_a_trace_can_be_saved(tmp_path):
    with torch.no_grad():
        traced = torch.jit.trace(softmax_attention, tuple(inputs()), check_trace=False)
    traced.save(str(tmp_path / 'attention.pt'))
    again = torch.jit.load(tmp_path / 'attention.pt')(*inputs())
    torch.testing.assert_close(again, softmax_attention(*inputs()), rtol=0.02, atol=0.02)


def test_the_fused_kernel_serves_all_others(monkeypatch):
    called = []
    fused = F.scaled_dot_product_attention
    monkeypatch.setattr(
        attention.F,
        'scaled_dot_product_attention',
        lambda *args, **kwargs: called.append(args[0].dtype) or fused(*args, **kwargs),
    )
    softmax_attention(*inputs())
    assert not called
    softmax_attention(*inputs(torch.float32))
    monkeypatch.setattr(attention, 'WRITTEN_OUT', 8)
    softmax_attention(*inputs())  # too many tokens for their weights to be held
    assert called == [torch.float32, torch.bfloat16]


def test_dropout_drops_weights():
    q, k, _ = inputs()
    v = torch.eye(9).expand(2, 3, 9, 9).bfloat16()  # the output is the weights
    torch.manual_seed(0)
    weights = softmax_attention(q, k, v, dropout_p=0.5)
    kept = softmax_attention(q, k, v)
    dropped = weights == 0
    assert 0.3 < dropped.float().mean() < 0.7
    torch.testing.assert_close(weights[~dropped], 2 * kept[~dropped], rtol=0.02, atol=1e-3)


def test_every_block_of_the_decoder_of_mae_uses_it(monkeypatch):
    decoder = MAEDecoder(
        num_patches=4,
        patch_size=4,
        embed_dim=8,
        decoder_embed_dim=8,
        decoder_depth=3,
        decoder_num_heads=2,
    )
    called = []
    for module in (attention, mae_decoder):
        monkeypatch.setattr(
            module,
            'softmax_attention',
            lambda *args: called.append(args[0].shape[-2]) or softmax_attention(*args),
        )
    decoder(torch.randn(2, 3, 8), torch.tensor([[0, 1]] * 2), torch.tensor([[2, 3]] * 2))
    assert called == [5, 5, 2]  # the last block has masked queries only
