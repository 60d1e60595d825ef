"""A block of the Vision Transformer whose attention takes biases and rotations."""

from typing import Callable, Optional, Tuple, Union

from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from mmpretrain.models.utils import SwiGLUFFN
from torch import Tensor, nn

from mssl_plugins.models.layers.attention import FusedAttention, LowRankBias


class Block(TransformerEncoderLayer):
    """mmpretrain's encoder layer that hands biases and rotations to its attention.

    Args:
        embed_dims (int): Width of the tokens.
        num_heads (int): Heads of the attention.
        feedforward_channels (int): Hidden width of the MLP.
        attention (Callable): Makes the attention from the arguments of
            mmpretrain's ``MultiheadAttention``. Defaults to
            :class:`FusedAttention`.
        ffn_type (str): A type of mmpretrain, or ``'swiglu'``: ``w3(silu(a) b)`` with
            ``a, b = w12(x)``, each ``feedforward_channels`` wide (mmpretrain's
            ``'swiglu_fused'`` takes two thirds of it). Defaults to ``'origin'``.
        **kwargs: Further arguments of ``TransformerEncoderLayer``.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        feedforward_channels: int,
        attention: Callable[..., nn.Module] = FusedAttention,
        ffn_type: str = 'origin',
        **kwargs,
    ) -> None:
        swiglu = ffn_type == 'swiglu'
        kwargs['ffn_type'] = 'origin' if swiglu else ffn_type
        super().__init__(embed_dims, num_heads, feedforward_channels, **kwargs)
        drop_path = dict(type='DropPath', drop_prob=kwargs.get('drop_path_rate', 0.0))
        if swiglu:
            self.ffn = SwiGLUFFN(
                embed_dims,
                feedforward_channels,
                layer_scale_init_value=kwargs.get('layer_scale_init_value', 0.0),
                dropout_layer=drop_path,
            )
        self.attn = attention(
            embed_dims=embed_dims,
            num_heads=num_heads,
            attn_drop=kwargs.get('attn_drop_rate', 0.0),
            proj_drop=kwargs.get('drop_rate', 0.0),
            dropout_layer=drop_path,
            qkv_bias=kwargs.get('qkv_bias', True),
            layer_scale_init_value=kwargs.get('layer_scale_init_value', 0.0),
        )

    def forward(
        self,
        x: Tensor,
        bias: Optional[LowRankBias] = None,
        relation: Optional[Tensor] = None,
        return_attention: bool = False,
        rotation: Optional[Tensor] = None,
    ) -> Union[Tensor, Tuple[Tensor, Tensor]]:
        """Tokens (B, N, C) -> (B, N, C); arguments as for :meth:`FusedAttention.forward`."""
        y = self.attn(self.ln1(x), bias, relation, return_attention, rotation)
        y, attention = y if return_attention else (y, None)
        x = x + y
        x = self.ffn(self.ln2(x), identity=x)
        return (x, attention) if return_attention else x
