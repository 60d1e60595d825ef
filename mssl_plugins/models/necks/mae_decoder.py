"""The decoder of MAE (arXiv 2111.06377, section 3)."""

import math
from typing import List, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models import MAEPretrainDecoder
from torch import Tensor, nn

from mssl_plugins.models.layers.attention import softmax_attention
from mssl_plugins.models.layers.block import Block
from mssl_plugins.models.layers.pos_embed import sincos_pos_embed
from mssl_plugins.models.layers.recompute import run_block
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class MAEDecoder(MAEPretrainDecoder):
    """mmpretrain's MAE decoder, which predicts the masked patches only.

    Parameters and checkpoint keys are mmpretrain's.  Attention does not depend
    on the order of tokens, so they stay in the order [CLS], kept, masked, each
    with its position embedding.  The last block computes only the masked
    tokens.

    Args:
        num_patches (int | Tuple[int, int]): Rows and columns of patches, or
            their number where they form a square. Defaults to 196.
        decoder_embed_dim (int): Width of the tokens. Defaults to 512, as in the paper.
        decoder_depth (int): Number of blocks. Defaults to 8, as in the paper.
        decoder_num_heads (int): Heads of the attention. Defaults to 16, as in the paper.
        mlp_ratio (float): Hidden width of the MLP over that of the tokens. Defaults to 4.
        norm_cfg (dict): Normalization. Defaults to ``dict(type='LN', eps=1e-6)``.
        activation_checkpointing (bool): As in ``mssl_plugins.ViT``. Defaults to
            False.
        **kwargs: Further arguments of mmpretrain's ``MAEPretrainDecoder``.

    Raises:
        ValueError: If there is no block, or ``num_patches`` is a number that is
            no square.
    """

    def __init__(
        self,
        num_patches: Union[int, Tuple[int, int]] = 196,
        *,
        decoder_embed_dim: int = 512,
        decoder_depth: int = 8,
        decoder_num_heads: int = 16,
        mlp_ratio: float = 4.0,
        norm_cfg: dict = dict(type='LN', eps=1e-6),
        activation_checkpointing: bool = False,
        **kwargs,
    ) -> None:
        if isinstance(num_patches, int):
            side = math.isqrt(num_patches)
            if side**2 != num_patches:
                raise ValueError(
                    f'num_patches={num_patches} is no square: give rows and columns, '
                    'as in num_patches=(7, 14)'
                )
            num_patches = (side, side)
        if decoder_depth < 1:
            raise ValueError(f'decoder_depth must be at least 1, got {decoder_depth}')
        super().__init__(
            num_patches=math.prod(num_patches),
            decoder_embed_dim=decoder_embed_dim,
            decoder_depth=0,
            norm_cfg=norm_cfg,
            **kwargs,
        )
        self.grid, self.recompute = tuple(num_patches), activation_checkpointing
        self.decoder_blocks = nn.ModuleList(
            Block(
                decoder_embed_dim,
                decoder_num_heads,
                int(mlp_ratio * decoder_embed_dim),
                norm_cfg=norm_cfg,
            )
            for _ in range(decoder_depth)
        )

    def init_weights(self) -> None:
        """Initializes as in mmpretrain, with position embeddings of this grid, square or not."""
        BaseModule.init_weights(self)  # mmpretrain's own fills in a square grid's
        self.decoder_pos_embed.data.copy_(
            sincos_pos_embed(self.grid, self.decoder_pos_embed.shape[-1], cls_token=True)
        )
        nn.init.normal_(self.mask_token, std=0.02)

    @property
    def open_blocks(self) -> List[nn.Module]:
        """Blocks whose weights are read without calling them, for ``mssl_plugins.FSDP``."""
        return [self.decoder_blocks[-1]]

    def forward(self, tokens: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
        """Predicts the masked patches.

        Args:
            tokens (Tensor): Encoded [CLS] and kept patches, (B, 1 + Lk, C).
            keep (Tensor): Positions of the kept patches, (B, Lk) long.
            masked (Tensor): Positions of the masked patches, (B, Lm) long.

        Returns:
            Tensor: (B, Lm, values of a patch), in the order of ``masked``.
        """
        pos_embed = self.decoder_pos_embed[0]  # (1 + L, E), [CLS] first
        seen = torch.cat([keep.new_zeros(len(keep), 1), keep + 1], 1)  # (B, 1 + Lk)
        x = self.decoder_embed(tokens) + pos_embed[seen]  # (B, 1 + Lk, E)
        hidden = self.mask_token + pos_embed[masked + 1]  # (B, Lm, E)
        x = torch.cat([x, hidden], 1)  # (B, 1 + L, E)
        *blocks, last = self.decoder_blocks
        for block in blocks:
            x = run_block(self.recompute, block, x)
        x = run_block(self.recompute, self._last, last, x, seen.shape[1])  # (B, Lm, E)
        return self.decoder_pred(self.decoder_norm(x))

    @staticmethod
    def _last(block: nn.Module, x: Tensor, first: int) -> Tensor:
        """``block(x)[:, first:]``: all tokens are keys, but only the last ones are queries."""
        attention, h = block.attn, block.ln1(x)
        dim, heads = attention.embed_dims, attention.num_heads
        weight, bias = attention.qkv.weight, attention.qkv.bias
        q = F.linear(h[:, first:], weight[:dim], bias[:dim])
        k, v = F.linear(h, weight[dim:], bias[dim:]).chunk(2, -1)
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        h = softmax_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x[:, first:] + attention.proj(h)
        return block.ffn(block.ln2(x), identity=x)
