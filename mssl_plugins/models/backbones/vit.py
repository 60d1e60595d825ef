"""The Vision Transformer that masked methods need.

ViT (arXiv 2010.11929) as mmpretrain builds it, with tokens that can be masked
(MST section 11: after the patch projection, before the position embeddings),
dropped (MAE section 3) and related by a bias (mask-guided attention), and with
the class token's attention in the last block (DINO, MST section 12).
"""
from typing import Callable, Optional, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones.vision_transformer import (TransformerEncoderLayer,
                                                            VisionTransformer)
from torch import Tensor, nn

from mssl_plugins.models.layers.attention import FusedAttention, LowRankBias
from mssl_plugins.models.layers.mask_bias import MaskBias
from mssl_plugins.registry import MODELS
from mssl_plugins.errors import unknown


class Block(TransformerEncoderLayer):
    """mmpretrain's encoder layer that hands a bias to its attention."""

    def forward(self, x: Tensor, bias: Optional[LowRankBias] = None,
                relation: Optional[Tensor] = None, return_attention: bool = False
                ) -> Union[Tensor, Tuple[Tensor, Tensor]]:
        """Tokens (B, N, C) -> (B, N, C); arguments of :class:`FusedAttention`."""
        y = self.attn(self.ln1(x), bias, relation, return_attention)
        y, attention = y if return_attention else (y, None)
        x = x + y
        x = self.ffn(self.ln2(x), identity=x)
        return (x, attention) if return_attention else x


@MODELS.register_module()
class ViT(VisionTransformer):
    """mmpretrain's ``VisionTransformer`` that can mask, drop, bias and explain.

    Archs, arguments and checkpoint keys are mmpretrain's: weights go both
    ways, and every fine-tuning config accepts it. ViT-S of DeiT, DINO and MST
    is ``arch='deit-small'``.

    Args:
        arch (str | dict): As in mmpretrain. Defaults to ``'base'``.
        mask_token (bool): Have the learnable embedding ``mask_token``
            (1, 1, C). Defaults to False.
        mask_bias (dict, optional): Arguments ``positive=True,
            negative=False`` of :class:`~mssl_plugins.models.layers.mask_bias.MaskBias`.
            Defaults to None, no bias.
        antialias (bool): Interpolate position embeddings with antialiasing,
            as timm does; False is mmpretrain's and DINO's way. It matters
            only for image sizes other than ``img_size``. Defaults to True.
        **kwargs: Arguments of mmpretrain's class, for example
            ``patch_size=16``, ``img_size=224``, ``drop_path_rate=0.``.

    Raises:
        ValueError: If the arch is unknown.
    """

    def __init__(self,
                 arch: Union[str, dict] = 'base',
                 *args,
                 mask_token: bool = False,
                 mask_bias: Optional[dict] = None,
                 antialias: bool = True,
                 **kwargs) -> None:
        if isinstance(arch, str) and arch.lower() not in self.arch_zoo:
            raise unknown(arch, self.arch_zoo, 'ViT arch')
        super().__init__(arch, *args, **kwargs)
        self.antialias = antialias
        for layer in self.layers:  # ours add no state, only ways to call them
            layer.__class__ = Block
            layer.attn.__class__ = FusedAttention
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims)) if mask_token else None
        self.mask_bias = None if mask_bias is None else MaskBias(
            self.num_layers, self.arch_settings['num_heads'], **mask_bias)

    def init_weights(self) -> None:
        """As in mmpretrain; the mask token is drawn like the positions."""
        super().init_weights()
        pretrained = isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained'
        if self.mask_token is not None and not pretrained:
            trunc_normal_(self.mask_token, std=0.02)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> Tuple[int, int]:
        """As in mmpretrain; the mask token and a layer's bias go with their layer."""
        name = param_name[len(prefix):] if param_name.startswith(prefix) else ''
        if name == 'mask_token':
            return 0, self.num_layers + 2
        if name.startswith('mask_bias.'):
            return int(name.split('.')[-1]) + 1, self.num_layers + 2
        return super().get_layer_depth(param_name, prefix)

    def positions(self, grid: Tuple[int, int]) -> Tensor:
        """Position embeddings (1, [1+]L, C) of a grid of (rows, columns)."""
        if tuple(grid) == tuple(self.patch_resolution):
            return self.pos_embed
        extra = self.num_extra_tokens
        table = self.pos_embed[:, extra:].unflatten(1, tuple(self.patch_resolution))
        table = F.interpolate(
            table.permute(0, 3, 1, 2).float(), size=tuple(grid), mode=self.interpolate_mode,
            antialias=self.antialias, align_corners=False)
        table = table.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :extra], table], 1)

    def _embed(self, patches: Tensor, grid: Tuple[int, int]) -> Tensor:
        """Patch tokens (B, L, C) -> with class token and positions."""
        if self.cls_token is not None:
            patches = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], 1)
        return self.drop_after_pos(patches + self.positions(grid))

    def forward(self, x: Tensor, vectors: Optional[Tensor] = None) -> Tuple[Tensor, ...]:
        """mmpretrain's forward: images (B, 3, H, W) -> one output per ``out_indices``.

        ``vectors`` are those of :meth:`forward_tokens`.
        """
        patches, grid = self.patch_embed(x)
        biases = (None, ) * self.num_layers
        if vectors is not None:
            self._check_vectors(vectors, patches)
            biases = self.mask_bias(F.pad(vectors, (0, 0, self.num_extra_tokens, 0)))
        x, outs = self.pre_norm(self._embed(patches, grid)), []
        for i, (layer, bias) in enumerate(zip(self.layers, biases)):
            x = layer(x, bias)
            if i == self.num_layers - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                outs.append(self._format_output(x, grid))
        return tuple(outs)

    def forward_tokens(self,
                       x: Tensor,
                       mask: Optional[Tensor] = None,
                       keep: Optional[Tensor] = None,
                       vectors: Optional[Tensor] = None,
                       relation: Optional[Tensor] = None,
                       replacement: Union[str, Tensor, Callable] = 'mask_token',
                       return_attention: bool = False
                       ) -> Union[Tensor, Tuple[Tensor, Tensor]]:
        """All tokens after the last block and the final norm.

        Args:
            x (Tensor): Images (B, 3, H, W), H and W multiples of the patch.
            mask (Tensor, optional): (B, L) bool, ``True`` = replaced after
                the patch projection, before the position embeddings.
            keep (Tensor, optional): (B, Lk) long; only these patch tokens,
                in this order, go through the blocks. Positions are added
                before, the class token always stays.
            vectors (Tensor, optional): (B, L, K) mask token vectors for
                ``mask_bias``, from
                :func:`~mssl_plugins.models.layers.mask_bias.token_vectors`. None is
                the plain network.
            relation (Tensor, optional): (B or 1, heads or 1, N, N) added to
                the logits of every layer; N counts the tokens that go through
                the blocks, the class token first.
            replacement (str | Tensor | Callable): What takes the place of
                masked tokens: ``'mask_token'``, a tensor that broadcasts to
                (B, L, C), or a function of the projected patches (B, L, C)
                and the mask that returns one. Defaults to ``'mask_token'``.
            return_attention (bool): Also return the last block's attention
                of the class token. Defaults to False.

        Returns:
            Tensor: (B, 1 + L, C), or (B, 1 + Lk, C) with ``keep`` (no 1
            without class token). With ``return_attention`` the pair with
            (B, heads, L or Lk), float32, softmax over all tokens.

        Raises:
            ValueError: If a size does not fit, or a mask token, mask bias or
                class token is needed that the network does not have.
        """
        self._check_size(x)
        patches, grid = self.patch_embed(x)
        if mask is not None:
            patches = self._replace(patches, mask, replacement)
        tokens = self._embed(patches, grid)
        extra = self.num_extra_tokens
        biases = (None, ) * self.num_layers
        if vectors is not None:
            self._check_vectors(vectors, patches)
        if keep is not None:
            self._check_keep(keep, patches)
            index = keep[..., None]
            kept = tokens[:, extra:].gather(1, index.expand(-1, -1, tokens.shape[-1]))
            tokens = torch.cat([tokens[:, :extra], kept], 1)
            if vectors is not None:
                vectors = vectors.gather(1, index.expand(-1, -1, vectors.shape[-1]))
        if vectors is not None:
            biases = self.mask_bias(F.pad(vectors, (0, 0, extra, 0)))
        if relation is not None:
            self._check_relation(relation, tokens)
        if return_attention and self.cls_token is None:
            raise ValueError('return_attention needs the class token: with_cls_token=True')

        tokens = self.pre_norm(tokens)
        for layer, bias in zip(self.layers[:-1], biases):
            tokens = layer(tokens, bias, relation)
        tokens = self.layers[-1](tokens, biases[-1], relation, return_attention)
        tokens, attention = tokens if return_attention else (tokens, None)
        if self.final_norm:
            tokens = self.ln1(tokens)
        return (tokens, attention) if return_attention else tokens

    def _replace(self, patches: Tensor, mask: Tensor, replacement) -> Tensor:
        if mask.dtype != torch.bool or mask.shape != patches.shape[:2]:
            raise ValueError(
                f'mask must be bool of shape (B, L) = {tuple(patches.shape[:2])}, '
                f'got {mask.dtype} of shape {tuple(mask.shape)}')
        if isinstance(replacement, str):
            if replacement != 'mask_token':
                raise unknown(replacement, ['mask_token'], 'replacement')
            if self.mask_token is None:
                raise ValueError('this ViT has no mask token: build it with mask_token=True')
            replacement = self.mask_token
        elif not isinstance(replacement, Tensor):
            replacement = replacement(patches, mask)
        return torch.where(mask[..., None], replacement.to(patches.dtype), patches)

    def _check_size(self, x: Tensor) -> None:
        patch = self.patch_embed.projection.kernel_size
        if x.ndim != 4 or x.shape[2] % patch[0] or x.shape[3] % patch[1]:
            raise ValueError(
                f'images must have shape (B, 3, H, W) with H and W multiples of the patch '
                f'{patch[0]} x {patch[1]}, got {tuple(x.shape)}')

    def _check_keep(self, keep: Tensor, patches: Tensor) -> None:
        if keep.dtype != torch.long or keep.ndim != 2 or len(keep) != len(patches):
            raise ValueError(
                f'keep must be long indices of shape ({len(patches)}, Lk), '
                f'got {keep.dtype} of shape {tuple(keep.shape)}')

    def _check_vectors(self, vectors: Tensor, patches: Tensor) -> None:
        if self.mask_bias is None:
            raise ValueError(
                'mask token vectors need a bias: build the ViT with mask_bias=dict(positive=True)')
        if vectors.ndim != 3 or vectors.shape[:2] != patches.shape[:2]:
            raise ValueError(
                f'vectors must have shape {tuple(patches.shape[:2])} + (K,), one for each '
                f'patch token, got {tuple(vectors.shape)}')

    def _check_relation(self, relation: Tensor, tokens: Tensor) -> None:
        (b, n), heads = tokens.shape[:2], self.arch_settings['num_heads']
        if (relation.ndim != 4 or relation.shape[0] not in (1, b)
                or relation.shape[1] not in (1, heads) or relation.shape[2:] != (n, n)):
            raise ValueError(
                f'relation must have shape ({b} or 1, {heads} or 1, {n}, {n}), class token '
                f'and kept tokens counted, got {tuple(relation.shape)}')
