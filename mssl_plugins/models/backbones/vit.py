"""The Vision Transformer that masked methods need.

ViT (arXiv 2010.11929) as mmpretrain builds it, with tokens that can be masked
(MST section 11: after the patch projection, before the position embeddings),
dropped (MAE section 3) and related by a bias (mask-guided attention), and with
the class token's attention in the last block (DINO, MST section 12).  Registers
(arXiv 2309.16588) and rotary positions (DINOv3, arXiv 2508.10104) are those of
DINOv2's and DINOv3's weights.
"""

from typing import Callable, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.model import ModuleList
from mmengine.model.weight_init import trunc_normal_
from mmpretrain.models.backbones.vision_transformer import VisionTransformer
from torch import Tensor, nn

from mssl_plugins.distributed import cut_like
from mssl_plugins.errors import unknown
from mssl_plugins.models.layers.block import Block
from mssl_plugins.models.layers.checks import check_keep, check_relation
from mssl_plugins.models.layers.mask_bias import OPTIONS, MaskBias
from mssl_plugins.models.layers.pos_embed import resize_table
from mssl_plugins.models.layers.recompute import run_block
from mssl_plugins.models.layers.rope import ROPE_OPTIONS, RotaryPositions
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class ViT(VisionTransformer):
    """mmpretrain's ``VisionTransformer`` with masks, dropped tokens, biases and attention.

    Archs, arguments and checkpoint keys are mmpretrain's: weights load in both
    directions, and every fine-tuning config accepts it. ViT-S of DeiT, DINO and
    MST is ``arch='deit-small'``.

    Args:
        arch (str | dict): As in mmpretrain. Defaults to ``'base'``.
        mask_token (bool): Have the learnable embedding ``mask_token``
            (1, 1, C). Defaults to False.
        mask_bias (dict, optional): Arguments ``positive=True,
            negative=False, init=0.`` of
            :class:`~mssl_plugins.models.layers.mask_bias.MaskBias`. Defaults
            to None, no bias.
        registers (int): Number of learnable register tokens, which take part
            in the attention and are left out of every output. Defaults to 0.
        rope (dict, optional): Arguments ``base=100., rescale=1.`` of
            :class:`~mssl_plugins.models.layers.rope.RotaryPositions`, which take
            the place of position embeddings. Defaults to None.
        antialias (bool): Interpolate position embeddings with antialiasing,
            as timm does; False is mmpretrain's and DINO's way. It matters
            only for image sizes other than ``img_size``. Defaults to True.
        interpolate_offset (float): Added to the new grid's rows and columns when
            the scale factors of position embeddings are computed; 0.1 in DINO
            and DINOv2. Defaults to 0, as in timm and mmpretrain.
        weight_init (str): ``'mmpretrain'``: as in its class, with a zero class
            token; ``'dino'``: as in DINO and timm, every linear layer drawn
            from a normal distribution (std 0.02, truncated) with zero bias,
            class token and position embeddings likewise. Defaults to
            ``'mmpretrain'``.
        activation_checkpointing (bool): Keep only the input of each block, and
            compute the block's activations again in the backward pass: less
            memory, about a third more time, the same gradients. Defaults to
            False.
        **kwargs: ``out_indices, drop_rate, drop_path_rate, qkv_bias, norm_cfg,
            layer_scale_init_value, layer_cfgs, frozen_stages`` and others as in
            mmpretrain, for example ``patch_size=16``, ``img_size=224``. ``patch_cfg``
            takes ``conv_type='mssl_plugins.PatchProjection'`` by default, a convolution
            that is faster on a CPU; ``'Conv2d'`` is mmpretrain's. The
            MLP of DINOv2's giant network and DINOv3's plus ones is
            ``layer_cfgs=dict(ffn_type='swiglu')``.

    Raises:
        ValueError: If the arch or ``weight_init`` is unknown, an out index
            does not exist, patches are not square, ``registers`` is negative, or
            the width of a head is not divisible by 4, which ``rope`` needs.
    """

    config_parts = dict(
        arch=dict.fromkeys(VisionTransformer.arch_zoo['b'], int),
        mask_bias=OPTIONS,
        rope=ROPE_OPTIONS,
    )
    # DINOv3's weights lack these keys in other libraries' forms.
    optional_keys: Tuple[str, ...] = ('rope.periods',)
    WEIGHT_INITS = ('mmpretrain', 'dino')

    def __init__(
        self,
        arch: Union[str, dict] = 'base',
        *,
        out_indices: Union[int, Sequence[int]] = -1,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        qkv_bias: bool = True,
        norm_cfg: dict = dict(type='LN', eps=1e-6),
        layer_scale_init_value: float = 0.0,
        layer_cfgs: Union[dict, Sequence[dict]] = dict(),
        frozen_stages: int = -1,
        mask_token: bool = False,
        mask_bias: Optional[dict] = None,
        registers: int = 0,
        rope: Optional[dict] = None,
        antialias: bool = True,
        interpolate_offset: float = 0.0,
        weight_init: str = 'mmpretrain',
        activation_checkpointing: bool = False,
        **kwargs,
    ) -> None:
        if isinstance(arch, str):
            if arch.lower() not in self.arch_zoo:
                raise unknown(arch, self.arch_zoo, 'ViT arch')
            arch = self.arch_zoo[arch.lower()]
        if weight_init not in self.WEIGHT_INITS:
            raise unknown(weight_init, self.WEIGHT_INITS, 'weight_init of ViT')
        kwargs['patch_cfg'] = {
            'conv_type': 'mssl_plugins.PatchProjection',
            **kwargs.get('patch_cfg', {}),
        }
        # mmpretrain's class makes everything but the blocks, which take biases and rotations.
        super().__init__(
            dict(arch, num_layers=0),
            out_indices=[0],
            drop_rate=drop_rate,
            norm_cfg=norm_cfg,
            **kwargs,
        )
        self.arch_settings, self.num_layers = arch, arch['num_layers']
        indices = [out_indices] if isinstance(out_indices, int) else out_indices
        self.out_indices = [i + self.num_layers if i < 0 else i for i in indices]
        if not all(0 <= i <= self.num_layers for i in self.out_indices):
            raise ValueError(
                f'out_indices must be numbers of the {self.num_layers} blocks, got {list(indices)}'
            )
        if len(set(self.patch_embed.projection.kernel_size)) > 1:
            raise ValueError(
                f'patches must be square, got {self.patch_embed.projection.kernel_size}'
            )
        rates = np.linspace(0, drop_path_rate, self.num_layers).tolist()
        cfgs = [layer_cfgs] * self.num_layers if isinstance(layer_cfgs, dict) else layer_cfgs
        shared = dict(
            embed_dims=self.embed_dims,
            num_heads=arch['num_heads'],
            feedforward_channels=arch['feedforward_channels'],
            layer_scale_init_value=layer_scale_init_value,
            drop_rate=drop_rate,
            qkv_bias=qkv_bias,
            norm_cfg=norm_cfg,
        )
        self.layers = ModuleList(
            self.make_blocks(
                [{**shared, 'drop_path_rate': rate, **cfg} for rate, cfg in zip(rates, cfgs)]
            )
        )
        self._add_newer_parts(registers, rope, arch['num_heads'])
        self.frozen_stages = frozen_stages
        if frozen_stages > 0:
            self._freeze_stages()
            if registers:
                self.register_tokens.requires_grad_(False)
        self.antialias, self.interpolate_offset = antialias, interpolate_offset
        self.weight_init, self.recompute = weight_init, activation_checkpointing
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims)) if mask_token else None
        self.mask_bias = (
            None if mask_bias is None else MaskBias(self.num_layers, arch['num_heads'], **mask_bias)
        )

    def _add_newer_parts(self, registers: int, rope: Optional[dict], num_heads: int) -> None:
        """Registers, and rotary positions in the place of position embeddings."""
        if registers < 0:
            raise ValueError(f'registers must be 0 or more, got {registers}')
        self.registers = registers
        self.register_tokens = (
            nn.Parameter(torch.zeros(1, registers, self.embed_dims)) if registers else None
        )
        self.rope = None
        if rope is not None:
            self.rope = RotaryPositions(self.embed_dims // num_heads, **rope)
            self.pos_embed = None

    def make_blocks(self, cfgs: Sequence[dict]) -> List[nn.Module]:
        """Makes the blocks, each from its arguments; networks with other blocks override it."""
        return [Block(**cfg) for cfg in cfgs]

    @property
    def patch_size(self) -> int:
        """Side of a patch in px."""
        return self.patch_embed.projection.kernel_size[0]

    @property
    def prefix_tokens(self) -> int:
        """Tokens in front of the patches inside the network: class token and registers."""
        return self.num_extra_tokens + self.registers

    def init_weights(self) -> None:
        """Initializes by ``weight_init``; mask token, registers and positions alike."""
        super().init_weights()
        if isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained':
            return
        for token in (self.mask_token, self.register_tokens):
            if token is not None:
                trunc_normal_(token, std=0.02)
        if self.weight_init == 'dino':
            if self.cls_token is not None:
                trunc_normal_(self.cls_token, std=0.02)
            for module in self.modules():
                if isinstance(module, nn.Linear):
                    trunc_normal_(module.weight, std=0.02)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> Tuple[int, int]:
        """Layer of a parameter, as in mmpretrain; mask token, registers, biases included."""
        name = param_name[len(prefix) :] if param_name.startswith(prefix) else ''
        if name in ('mask_token', 'register_tokens'):
            return 0, self.num_layers + 2
        if name.startswith('mask_bias.'):
            return int(name.split('.')[-1]) + 1, self.num_layers + 2
        return super().get_layer_depth(param_name, prefix)

    def resized_pos_embed(self, grid: Tuple[int, int]) -> Tensor:
        """Position embeddings (1, [1+]L, C) of a grid of (rows, columns)."""
        if tuple(grid) == tuple(self.patch_resolution):
            return self.pos_embed
        extra = self.num_extra_tokens
        table = resize_table(
            self.pos_embed[:, extra:],
            tuple(self.patch_resolution),
            grid,
            self.interpolate_mode,
            self.antialias,
            self.interpolate_offset,
        )
        return torch.cat([self.pos_embed[:, :extra], table], 1)

    def _prepare_pos_embed(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Before loading: mmpretrain's resizing, where there are position embeddings."""
        if self.pos_embed is not None:
            super()._prepare_pos_embed(state_dict, prefix, *args, **kwargs)
            given = state_dict.get(prefix + 'pos_embed')
            if given is not None:  # resized, it is whole again
                state_dict[prefix + 'pos_embed'] = cut_like(self.pos_embed, given)

    def _embed(self, patches: Tensor, grid: Tuple[int, int]) -> Tensor:
        """Patch tokens (B, L, C) -> with class token, registers and position embeddings."""
        x, extra = patches, self.num_extra_tokens
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        if self.pos_embed is not None:
            x = x + self.resized_pos_embed(grid)
        if self.registers:
            x = torch.cat(
                [x[:, :extra], self.register_tokens.expand(len(x), -1, -1), x[:, extra:]], 1
            )
        return self.drop_after_pos(x)

    def _without_registers(self, x: Tensor) -> Tensor:
        """Tokens (B, [1 +] R + L, C) -> (B, [1 +] L, C)."""
        if not self.registers:
            return x
        return torch.cat([x[:, : self.num_extra_tokens], x[:, self.prefix_tokens :]], 1)

    def forward(self, x: Tensor, coverage: Optional[Tensor] = None) -> Tuple[Tensor, ...]:
        """The forward pass of mmpretrain: images (B, 3, H, W) -> one output per ``out_indices``.

        ``coverage`` is as in :meth:`forward_tokens`.
        """
        patches, grid = self.patch_embed(x)
        biases = (None,) * self.num_layers
        if coverage is not None:
            self._check_coverage(coverage, patches)
            biases = self.mask_bias(F.pad(coverage, (0, 0, self.prefix_tokens, 0)))
        rotation = None if self.rope is None else self.rope(grid)
        x, outs = self.pre_norm(self._embed(patches, grid)), []
        for i, (layer, bias) in enumerate(zip(self.layers, biases)):
            x = run_block(self.recompute, layer, x, bias, None, False, rotation)
            if i == self.num_layers - 1 and self.final_norm:
                x = self.ln1(x)
            if i in self.out_indices:
                outs.append(self._format_output(self._without_registers(x), grid))
        return tuple(outs)

    def forward_tokens(
        self,
        x: Tensor,
        mask: Optional[Tensor] = None,
        keep: Optional[Tensor] = None,
        coverage: Optional[Tensor] = None,
        relation: Optional[Tensor] = None,
        replacement: Union[str, Tensor, Callable] = 'mask_token',
        return_attention: bool = False,
    ) -> Union[Tensor, Tuple[Tensor, Tensor]]:
        """All tokens but the registers after the last block and the final norm.

        Args:
            x (Tensor): Images (B, 3, H, W), H and W multiples of the patch.
            mask (Tensor, optional): (B, L) bool, ``True`` = replaced after
                the patch projection, before the position embeddings. Defaults
                to None: none.
            keep (Tensor, optional): (B, Lk) long; only these patch tokens,
                in this order, go through the blocks. Position embeddings are
                added before, the class token always stays. Defaults to None:
                all.
            coverage (Tensor, optional): (B, L, K) of the patches by segments
                for ``mask_bias``, from
                :func:`~mssl_plugins.models.layers.mask_bias.segment_coverage`.
                Defaults to None: the plain network.
            relation (Tensor, optional): (B or 1, heads or 1, N, N) added to
                the logits of every layer; N counts the tokens that go through
                the blocks, class token and registers first. Defaults to None.
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
        extra = self.prefix_tokens
        rotation = None if self.rope is None else self.rope(grid)
        biases = (None,) * self.num_layers
        if coverage is not None:
            self._check_coverage(coverage, patches)
        if keep is not None:
            check_keep(keep, patches)
            index = keep[..., None]
            kept = tokens[:, extra:].gather(1, index.expand(-1, -1, tokens.shape[-1]))
            tokens = torch.cat([tokens[:, :extra], kept], 1)
            if rotation is not None:
                rotation = rotation[:, keep]  # (2, B, Lk, d)
            if coverage is not None:
                coverage = coverage.gather(1, index.expand(-1, -1, coverage.shape[-1]))
        if coverage is not None:
            biases = self.mask_bias(F.pad(coverage, (0, 0, extra, 0)))
        if relation is not None:
            check_relation(relation, tokens, self.arch_settings['num_heads'])
        if return_attention and self.cls_token is None:
            raise ValueError('return_attention needs the class token: with_cls_token=True')

        tokens = self.pre_norm(tokens)
        for layer, bias in zip(self.layers, biases[:-1]):
            tokens = run_block(self.recompute, layer, tokens, bias, relation, False, rotation)
        last = (biases[-1], relation, return_attention, rotation)
        tokens = run_block(self.recompute, self.layers[-1], tokens, *last)
        tokens, attention = tokens if return_attention else (tokens, None)
        tokens = self._without_registers(tokens)
        if self.final_norm:
            tokens = self.ln1(tokens)
        return (tokens, attention[..., self.registers :]) if return_attention else tokens

    def _replace(self, patches: Tensor, mask: Tensor, replacement) -> Tensor:
        if mask.dtype != torch.bool or mask.shape != patches.shape[:2]:
            raise ValueError(
                f'mask must be bool of shape (B, L) = {tuple(patches.shape[:2])}, '
                f'got {mask.dtype} of shape {tuple(mask.shape)}'
            )
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
        patch = self.patch_size
        if x.ndim != 4 or x.shape[2] % patch or x.shape[3] % patch:
            raise ValueError(
                f'images must have shape (B, 3, H, W) with H and W multiples of the patch '
                f'{patch} x {patch}, got {tuple(x.shape)}'
            )

    def _check_coverage(self, coverage: Tensor, patches: Tensor) -> None:
        if self.mask_bias is None:
            raise ValueError(
                'segment coverage needs a bias: build the ViT with mask_bias=dict(positive=True)'
            )
        if coverage.ndim != 3 or coverage.shape[:2] != patches.shape[:2]:
            raise ValueError(
                f'coverage must have shape {tuple(patches.shape[:2])} + (K,), one for each '
                f'patch token, got {tuple(coverage.shape)}'
            )
