"""Fused multi-head attention with a low-rank bias folded into it.

A bias that is an inner product of token vectors of length K equals attention
with K extra head dimensions, so that one fused ``scaled_dot_product_attention``
computes it and memory grows with N K, not N N (mask-guided attention bias; our
definition).
"""

from typing import NamedTuple, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from mmpretrain.models.utils import MultiheadAttention
from torch import Tensor
from torch.autograd.function import once_differentiable

from mssl_plugins.models.layers.precision import is_compiling, upcast
from mssl_plugins.models.layers.rope import rotate

WRITTEN_OUT = 1024  # tokens, see softmax_attention


class LowRankBias(NamedTuple):
    """The bias ``sum_e coefficients[h, e] * vectors[b, i, e] * vectors[b, j, e]``.

    Attributes:
        coefficients (Tensor): (heads, E).
        vectors (Tensor): (B, N, E).
        zero (bool): Whether the coefficients are known to be exactly zero. The
            output is then that of plain attention, and the bias only
            receives a gradient.
    """

    coefficients: Tensor
    vectors: Tensor
    zero: bool = False

    def matrix(self) -> Tensor:
        """The bias written out, (B, heads, N, N)."""
        return torch.einsum('he,bie,bje->bhij', self.coefficients, self.vectors, self.vectors)


def _merge(x: Tensor) -> Tensor:
    """(B, heads, N, d) -> (B, N, heads * d)."""
    return x.transpose(1, 2).flatten(2)


class _WrittenOut(torch.autograd.Function):
    """``softmax(scale q k^T) v`` by matrix products, with at most one copy of each tensor.

    Autograd would copy the gradients once more, and scaling would take two more passes.
    It can be differentiated once only.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Queries (B, heads, N, d), keys and values (B, heads, M, d) -> (B, heads, N, d)."""
        shape = q.shape[:2]
        q, k, v = (x.flatten(0, 1) for x in (q, k, v))  # (B * heads, N or M, d)
        logits = torch.baddbmm(q.new_empty(()), q, k.mT, beta=0, alpha=scale)
        # computed in float32; what is returned, and kept for the backward pass, is bfloat16
        weights = logits.softmax(-1)  # (B * heads, N, M)
        ctx.save_for_backward(q, k, v, weights)
        ctx.scale = scale
        return torch.bmm(weights, v).unflatten(0, shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """The gradients of queries, keys and values."""
        (q, k, v, weights), shape = ctx.saved_tensors, grad.shape[:2]
        grad, unused = grad.flatten(0, 1), q.new_empty(())
        of_weights = torch.bmm(grad, v.mT)
        of_logits = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        found = (
            torch.baddbmm(unused, of_logits, k, beta=0, alpha=ctx.scale),
            torch.baddbmm(unused, of_logits.mT, q, beta=0, alpha=ctx.scale),
            torch.bmm(weights.mT, grad),
        )
        return *(x.unflatten(0, shape) for x in found), None


def softmax_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Optional[Tensor] = None,
    dropout_p: float = 0.0,
    scale: Optional[float] = None,
) -> Tensor:
    """``softmax(scale q k^T + mask) v``, computed in the fastest way.

    This is torch's fused kernel, except for bfloat16 on a CPU: there the kernel's
    backward pass takes up to seven times as long as matrix products do.  The
    products hold the weights of all pairs of tokens, so they are used for up to
    1,024 queries only.  Without mask and dropout their result can be differentiated
    once only.  Arguments are those of torch's ``scaled_dot_product_attention``.

    Args:
        q (Tensor): Queries (B, heads, N, d).
        k (Tensor): Keys (B, heads, M, d).
        v (Tensor): Values, shape of the keys.
        attn_mask (Tensor, optional): (B or 1, heads or 1, N, M), added to the
            scaled logits. Defaults to None.
        dropout_p (float): Dropout of the attention weights. Defaults to 0.
        scale (float, optional): Factor of the logits. Defaults to None: d ** -0.5.

    Returns:
        Tensor: (B, heads, N, d).
    """
    slow = q.device.type == 'cpu' and q.dtype == torch.bfloat16
    if not (slow and q.shape[-2] <= WRITTEN_OUT):
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=attn_mask, dropout_p=dropout_p, scale=scale
        )
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    # a trace could not be saved with a function of Python in it
    if attn_mask is None and not dropout_p and not torch.jit.is_tracing():
        return _WrittenOut.apply(q, k, v, scale)
    logits = (q * scale) @ k.mT
    weights = (logits if attn_mask is None else logits + attn_mask).softmax(-1)
    return F.dropout(weights, dropout_p) @ v


def _folded(
    q: Tensor, k: Tensor, v: Tensor, bias: LowRankBias, mask: Optional[Tensor], dropout: float
) -> Tensor:
    """Attention with the bias in extra head dimensions."""
    width, scale = q.shape[-1], q.shape[-1] ** -0.5
    vectors = bias.vectors[:, None].to(q.dtype)  # (B, 1, N, E)
    # The kernel multiplies all logits by the scale, but the bias must stay as it is.
    coefficients = (bias.coefficients / scale).to(q.dtype)[None, :, None]  # (1, heads, 1, E)
    # kernels are a tenth slower where the width is no multiple of 8
    extra = -(-(width + vectors.shape[-1]) // 8) * 8 - width
    zeros = q.new_zeros(()).expand(*q.shape[:3], extra - vectors.shape[-1])
    out = softmax_attention(
        torch.cat([q, coefficients * vectors, zeros], -1),
        torch.cat([k, vectors.expand(*k.shape[:3], -1), zeros], -1),
        F.pad(v, (0, extra)),  # fused kernels want one width; these columns come out as zeros
        mask,
        dropout,
        scale,
    )
    return _merge(out[..., :width])


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Optional[LowRankBias] = None,
    relation: Optional[Tensor] = None,
    dropout: float = 0.0,
) -> Tensor:
    """Softmax attention.

    Args:
        q (Tensor): Queries (B, heads, N, d).
        k (Tensor): Keys, same shape.
        v (Tensor): Values, same shape.
        bias (LowRankBias, optional): Added to the scaled logits, folded into
            the heads. Defaults to None.
        relation (Tensor, optional): (B or 1, heads or 1, N, N), added to the
            scaled logits as it is. Defaults to None.
        dropout (float): Dropout of the attention weights. Defaults to 0.

    Returns:
        Tensor: (B, N, heads * d).
    """
    mask = None if relation is None else relation.to(q.dtype)
    # Compiled code does not ask if the bias is zero: a change would compile it again.
    if bias is not None and (is_compiling() or not bias.zero):
        return _folded(q, k, v, bias, mask, dropout)
    out = _merge(softmax_attention(q, k, v, mask, dropout))
    if bias is not None and torch.is_grad_enabled() and bias.coefficients.requires_grad:
        # kernels may choose other block sizes for more dimensions, so the exact
        # zero takes its values from the plain call, and its gradient from the folded one
        folded = _folded(q, k, v, bias, mask, dropout)
        out = out.detach() + (folded - folded.detach())
    return out


def class_attention(
    q: Tensor,
    k: Tensor,
    bias: Optional[LowRankBias] = None,
    relation: Optional[Tensor] = None,
    token: int = 0,
) -> Tensor:
    """Attention of the class token, or of another one, from its query alone.

    Args:
        q (Tensor): Queries (B, heads, N, d); token 0 is the class token.
        k (Tensor): Keys, same shape.
        bias (LowRankBias, optional): As in :func:`attend`. Defaults to None.
        relation (Tensor, optional): As in :func:`attend`. Defaults to None.
        token (int): Index of the token whose attention it is. Defaults to 0, the
            class token.

    Returns:
        Tensor: (B, heads, N - 1), float32 or wider: the softmax over all N keys,
        without the weight of the class token (key 0).
    """
    here = slice(token, token + 1)
    with torch.autocast(q.device.type, enabled=False):
        logits = upcast(q[:, :, here]) @ upcast(k).transpose(-2, -1) * q.shape[-1] ** -0.5
        if bias is not None:
            query = bias.coefficients * bias.vectors[:, here]  # (B, heads, E)
            logits = logits + (query @ bias.vectors.transpose(1, 2).to(query))[:, :, None]
        if relation is not None:
            logits = logits + relation[:, :, here]
        return logits.softmax(-1)[:, :, 0, 1:]


class FusedAttention(MultiheadAttention):
    """mmpretrain's ``MultiheadAttention`` with biases and class attention.

    Parameters, keys and plain behavior are mmpretrain's.
    """

    def project(
        self, x: Tensor, rotation: Optional[Tensor] = None
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of ``x`` (B, N, C), each (B, heads, N, d).

        ``rotation`` is that of :meth:`forward`.
        """
        qkv = self.qkv(x).unflatten(2, (3, self.num_heads, self.head_dims))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return (q, k, v) if rotation is None else (rotate(q, rotation), rotate(k, rotation), v)

    def forward(
        self,
        x: Tensor,
        bias: Optional[LowRankBias] = None,
        relation: Optional[Tensor] = None,
        return_attention: bool = False,
        rotation: Optional[Tensor] = None,
    ) -> Union[Tensor, Tuple[Tensor, Tensor]]:
        """Self-attention of ``x``.

        Args:
            x (Tensor): (B, N, C).
            bias (LowRankBias, optional): As in :func:`attend`. Defaults to None.
            relation (Tensor, optional): As in :func:`attend`. Defaults to None.
            return_attention (bool): Also return :func:`class_attention`. Defaults
                to False.
            rotation (Tensor, optional): Rotates queries and keys of the last
                tokens, see :func:`~mssl_plugins.models.layers.rope.rotate`.
                Defaults to None.

        Returns:
            Tensor: (B, N, C), or the pair with (B, heads, N - 1).
        """
        q, k, v = self.project(x, rotation)  # (B, heads, N, d) each
        out = attend(q, k, v, bias, relation, self.attn_drop if self.training else 0.0)
        out = self.out_drop(self.gamma1(self.proj_drop(self.proj(out))))
        return (out, class_attention(q, k, bias, relation)) if return_attention else out
