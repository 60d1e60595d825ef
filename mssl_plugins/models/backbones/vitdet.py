"""A plain ViT as the backbone of detectors and segmentors.

ViTDet (arXiv 2203.16527, sections 3 and 4; the setting of ASL's supplement
section 3.3): attention inside windows with a few global blocks between, and
decomposed relative positions (arXiv 2112.01526, equation 4).  The weights are
those of a plain ViT.
"""

from functools import partial
from typing import List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mssl_plugins.models.backbones.vit import ViT
from mssl_plugins.models.layers.attention import FusedAttention
from mssl_plugins.models.layers.block import Block
from mssl_plugins.models.layers.pos_embed import resize_table
from mssl_plugins.models.layers.recompute import run_block
from mssl_plugins.models.layers.rope import rotate
from mssl_plugins.registry import MODELS

# Added to the logits of padding: its weight is exp(-1000) = 0, and within fp16.
HIDDEN = -1000.0


def relative_table(table: Tensor, size: int) -> Tensor:
    """The embedding of every distance between ``size`` tokens of a row.

    Args:
        table (Tensor): (2 S - 1, d), made for S tokens; resized linearly
            where S is not ``size``.
        size (int): Number of tokens in a row.

    Returns:
        Tensor: (size, size, d); [i, j] is that of i - j.
    """
    length = 2 * size - 1
    if len(table) != length:
        table = F.interpolate(table.float().T[None], length, mode='linear', align_corners=False)[
            0
        ].T.to(table.dtype)
    index = torch.arange(size, device=table.device)
    return table[index[:, None] - index + size - 1]


class WindowAttention(FusedAttention):
    """Self-attention of a map of tokens, inside windows or global.

    No N x N tensor is needed. The query of token i gives every row and every
    column a number; the bias of token j for token i is the sum of the two at
    j's row and column. That is an inner product with one-hot vectors, so it is
    computed in extra head dimensions by one fused kernel.

    Args:
        window (int): Side of a window in tokens; 0 is global.
        rel_size (int): Side of the map that the relative positions are made
            for; 0: no relative positions.
        **kwargs: Arguments of mmpretrain's ``MultiheadAttention``.
    """

    def __init__(self, *, window: int, rel_size: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.window = window
        self.rel_pos_h = self.rel_pos_w = None
        if rel_size:  # zero: a plain ViT's weights give a plain ViT's features
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * rel_size - 1, self.head_dims))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * rel_size - 1, self.head_dims))

    def forward(
        self, x: Tensor, grid: Tuple[int, int], rotation: Optional[Tensor] = None
    ) -> Tensor:
        """Tokens (B, H W, C) of a map of ``grid`` = (H, W) -> (B, H W, C).

        ``rotation`` (2, H W, d) is by the tokens' positions in the whole map, see
        :func:`~mssl_plugins.models.layers.rope.rotate`.
        """
        (b, _, c), (rows, columns) = x.shape, grid
        side = [min(self.window, n) if self.window else n for n in grid]
        count = [-(-n // s) for n, s in zip(grid, side)]  # windows along each side
        full = [n * s for n, s in zip(count, side)]

        def cut(tokens: Tensor) -> Tensor:
            """(n, H W, C) -> (n windows, tokens of one, C)."""
            tokens = F.pad(
                tokens.unflatten(1, grid), (0, 0, 0, full[1] - columns, 0, full[0] - rows)
            )
            tokens = tokens.reshape(-1, count[0], side[0], count[1], side[1], tokens.shape[-1])
            return tokens.transpose(2, 3).reshape(-1, side[0] * side[1], tokens.shape[-1])

        qkv = self.qkv(cut(x)).unflatten(2, (3, self.num_heads, self.head_dims))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B windows, heads, tokens, d)
        if rotation is not None:
            turns = torch.stack([cut(part[None]).repeat(b, 1, 1) for part in rotation])
            q, k = rotate(q, turns), rotate(k, turns)
        hidden = None
        if full != [rows, columns]:
            padding = torch.ones(full, device=x.device)
            padding[:rows, :columns] = 0
            hidden = padding.view(count[0], side[0], count[1], side[1]).transpose(1, 2)
            hidden = hidden.reshape(-1, side[0] * side[1]).repeat(b, 1)  # (B windows, tokens)
        x = self._attend(q, k, v, side, hidden)

        x = x.view(b, *count, *side, c).transpose(2, 3).reshape(b, *full, c)
        x = x[:, :rows, :columns].flatten(1, 2)
        return self.out_drop(self.gamma1(self.proj_drop(self.proj(x))))

    def _attend(
        self, q: Tensor, k: Tensor, v: Tensor, side: Sequence[int], hidden: Optional[Tensor]
    ) -> Tensor:
        scale = self.head_dims**-0.5
        wide_q, wide_k = [q], [k]
        if self.rel_pos_h is not None:
            table = [
                relative_table(t, s).to(q.dtype)
                for t, s in zip((self.rel_pos_h, self.rel_pos_w), side)
            ]
            grid = q.unflatten(2, side)
            wide_q += [
                torch.einsum('bnhwd,hkd->bnhwk', grid, table[0]).flatten(2, 3) / scale,
                torch.einsum('bnhwd,wkd->bnhwk', grid, table[1]).flatten(2, 3) / scale,
            ]
            token = torch.arange(side[0] * side[1], device=q.device)
            wide_k += [
                F.one_hot(i, s).to(k.dtype).expand(*k.shape[:2], -1, -1)
                for i, s in zip((token // side[1], token % side[1]), side)
            ]
        if hidden is not None:
            wide_q.append(torch.ones_like(q[..., :1]))
            wide_k.append(
                (hidden * (HIDDEN / scale))
                .to(k.dtype)[:, None, :, None]
                .expand(-1, k.shape[1], -1, -1)
            )
        if len(wide_q) > 1:
            q, k = torch.cat(wide_q, -1), torch.cat(wide_k, -1)
            v = F.pad(v, (0, q.shape[-1] - v.shape[-1]))
        out = F.scaled_dot_product_attention(
            q, k, v, dropout_p=self.attn_drop if self.training else 0.0, scale=scale
        )
        return out[..., : self.head_dims].transpose(1, 2).flatten(2)


class MapBlock(Block):
    """mmpretrain's encoder layer over a map of tokens."""

    def forward(
        self, x: Tensor, grid: Tuple[int, int], rotation: Optional[Tensor] = None
    ) -> Tensor:
        """Tokens (B, H W, C) -> (B, H W, C)."""
        x = x + self.attn(self.ln1(x), grid, rotation)
        return self.ffn(self.ln2(x), identity=x)


@MODELS.register_module()
class ViTDet(ViT):
    """ViT that gives feature maps, for images of any size.

    Loads the backbone of any plain ViT checkpoint of this library, of
    mmpretrain or (through the export tools) of timm: position embeddings
    of another grid are resized, class tokens and registers left out, and relative
    positions that the checkpoint lacks start at zero, which changes nothing.

    Args:
        arch (str | dict): As in :class:`ViT`. Defaults to ``'base'``.
        window_size (int): Side of a window in tokens; 0: every block is
            global, as for semantic segmentation. Defaults to 14 (ViTDet).
        global_blocks (int | Sequence[int]): Blocks that see the whole map:
            their numbers, or how many; these are spread evenly and include
            the last block. Defaults to 4 (ViTDet).
        rel_pos (bool): Relative positions in every block. Defaults to True.
        map_size (int, optional): Side of the map in tokens that the relative
            positions of global blocks are made for; a map of another size
            resizes them. Defaults to None, the side at ``img_size``.
        **kwargs: Arguments of :class:`ViT`; ``img_size`` is the one of
            pre-training, ``out_indices`` defaults to the last block,
            ``final_norm`` to False. There is no class token and no register:
            windows have no place for them.

    Note:
        Where a window reaches over the edge of the map, the padding is kept
        out of the attention (our choice: in Detectron2 zeros take part).

    Raises:
        ValueError: If a block's number does not exist, or a class token is
            asked for.
    """

    # A plain ViT's checkpoint lacks these keys, and their initial zeros are right.
    optional_keys = (*ViT.optional_keys, 'rel_pos_h', 'rel_pos_w')

    def __init__(
        self,
        arch: Union[str, dict] = 'base',
        *,
        window_size: int = 14,
        global_blocks: Union[int, Sequence[int]] = 4,
        rel_pos: bool = True,
        map_size: Optional[int] = None,
        final_norm: bool = False,
        **kwargs,
    ) -> None:
        fixed = dict(with_cls_token=False, out_type='featmap', registers=0)
        for key, value in fixed.items():
            if kwargs.get(key, value) != value:
                raise ValueError(f'ViTDet has {key}={value!r}, got {kwargs[key]!r}')
        if window_size < 0:
            raise ValueError(f'window_size must be at least 0, got {window_size}')
        # what make_blocks() needs while the parent builds
        self.window_size, self.rel_pos, self.map_size = window_size, rel_pos, map_size
        self.global_blocks = global_blocks
        super().__init__(arch, final_norm=final_norm, **{**kwargs, **fixed})

    def make_blocks(self, cfgs: Sequence[dict]) -> List[MapBlock]:
        """Blocks over maps, some global, the others with windows."""
        self.global_blocks = self._spread(self.global_blocks)
        blocks = []
        for i, cfg in enumerate(cfgs):
            window = 0 if i in self.global_blocks else self.window_size
            size = window or self.map_size or max(self.patch_resolution)
            blocks.append(
                MapBlock(
                    **cfg,
                    attention=partial(
                        WindowAttention, window=window, rel_size=size if self.rel_pos else 0
                    ),
                )
            )
        return blocks

    def _spread(self, blocks: Union[int, Sequence[int]]) -> Tuple[int, ...]:
        """The numbers of the global blocks."""
        n = self.num_layers
        if isinstance(blocks, int):
            if not 0 <= blocks <= n:
                raise ValueError(f'global_blocks must be 0 .. {n}, got {blocks}')
            blocks = [(i + 1) * n // blocks - 1 for i in range(blocks)]
        if not all(0 <= i < n for i in blocks):
            raise ValueError(
                f'global_blocks must be numbers of the {n} blocks, 0 .. {n - 1}, got {list(blocks)}'
            )
        return tuple(blocks)

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Images (B, 3, H, W) -> maps (B, C, ceil(H / P), ceil(W / P)).

        One for each of ``out_indices``; P is the patch size. Images are
        padded with zeros to whole patches.
        """
        x = F.pad(x, (0, -x.shape[3] % self.patch_size, 0, -x.shape[2] % self.patch_size))
        patches, grid = self.patch_embed(x)
        rotation = None if self.rope is None else self.rope(grid)
        x, outs = self.pre_norm(self._embed(patches, grid)), []
        for i, layer in enumerate(self.layers):
            x = run_block(self.recompute, layer, x, grid, rotation)
            if i == self.num_layers - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                outs.append(self._format_output(x, grid))
        return tuple(outs)

    def _prepare_pos_embed(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Before loading: brings tables of another size to this network's."""
        table = state_dict.get(prefix + 'pos_embed')
        fits = table is None or self.pos_embed is None or table.shape == self.pos_embed.shape
        if not fits:
            side = int(table.shape[1] ** 0.5)
            table = table[:, table.shape[1] - side**2 :]  # class tokens stand first
            if table.shape != self.pos_embed.shape:
                table = resize_table(
                    table,
                    (side, side),
                    tuple(self.patch_resolution),
                    self.interpolate_mode,
                    self.antialias,
                )
            state_dict[prefix + 'pos_embed'] = table
        for name, own in self.named_parameters():
            if name.endswith(('rel_pos_h', 'rel_pos_w')):
                given = state_dict.get(prefix + name)
                if given is None:
                    state_dict[prefix + name] = torch.zeros_like(own)
                elif len(given) != len(own):
                    state_dict[prefix + name] = F.interpolate(
                        given.float().T[None], len(own), mode='linear', align_corners=False
                    )[0].T.to(own.dtype)
