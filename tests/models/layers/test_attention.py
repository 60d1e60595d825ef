"""Attention in bfloat16 on a CPU, written out, beside float64 and the fused kernel."""

import pytest
import torch
from torch.nn import functional as F

from mssl_plugins.models.layers import attention
from mssl_plugins.models.layers.attention import softmax_attention
from mssl_plugins.models.necks.mae_decoder import MAEDecoder


def inputs(dtype=torch.bfloat16, tokens=9):
    rng = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, tokens, 8, generator=rng).to(dtype) for _ in range(3)]


def loop(q, k, v, mask, scale):
    """In float64, one query at a time."""
    out = torch.zeros_like(v, dtype=torch.float64)
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
def test_equals_loops(dtype, tolerance, scale):
    q, k, v = inputs(dtype)
    mask = torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = loop(q, k, v, mask, 8**-0.5 if scale is None else scale)
    found = softmax_attention(q, k, v, mask, scale=scale)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=0)


def test_gradients_are_those_of_the_fused_kernel():
    gradients = []
    for function in (softmax_attention, F.scaled_dot_product_attention):
        leaves = [x.requires_grad_() for x in inputs()]
        function(*leaves).float().square().sum().backward()
        gradients.append([leaf.grad.float() for leaf in leaves])
    for ours, theirs in zip(*gradients):
        assert (ours - theirs).norm() < 0.02 * theirs.norm()


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


def test_every_block_of_the_decoder_of_mae_uses_it():
    decoder = MAEDecoder(
        num_patches=4,
        patch_size=4,
        embed_dim=8,
        decoder_embed_dim=8,
        decoder_depth=2,
        decoder_num_heads=2,
    )
    assert all(
        block.attn.scaled_dot_product_attention is softmax_attention
        for block in decoder.decoder_blocks
    )
