"""MAE: Masked Autoencoders Are Scalable Vision Learners (arXiv 2111.06377).

Sections 3 and A.1::

    keep, masked = sample_mask(x)            75 % of the patches are masked
    f            = encoder(x[keep])          [CLS] and the visible patches only
    p            = decoder(f, keep, masked)  the pixels of the masked patches
    loss         = MSE(p, x[masked])         each patch normalized by itself
"""

from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mssl_plugins.errors import FieldError, unknown
from mssl_plugins.models.layers.patches import patchify, take, unpatchify
from mssl_plugins.models.layers.pos_embed import sincos_pos_embed
from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.masking import (
    MIM_STRATEGIES,
    random_keep,
    ranked_keep,
    token_indices,
)
from mssl_plugins.models.selfsup.base import SelfSupervisor
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class MAE(SelfSupervisor):
    """MAE: encodes the visible patches, decodes the pixels of the others.

    Args:
        backbone (dict): Config of ``mssl_plugins.ViT``, square or with
            ``img_size=(H, W)``. Its position embeddings, if it has any, become
            fixed sines and cosines.
        neck (dict): Config of ``mssl_plugins.MAEDecoder``.
        mask_ratio (float): Fraction of masked patches. Defaults to 0.75, the
            paper's.
        mask_unit (int): Side of a mask cell in tokens; 2 for ViT/8. Defaults
            to 1.
        norm_pix (bool): Normalize the pixels of each target patch by its own
            mean and standard deviation. Defaults to True.
        strategy (str): ``'random'`` (the paper), ``'block'``,
            ``'attention_low'`` or ``'attention_high'``: MST's order, by the
            attention of the encoder's own class token to the whole image
            (ours). Defaults to ``'random'``.
        init_cfg (dict | list, optional): Defaults to None, the paper's:
            Xavier-uniform linear layers.
        **kwargs: Arguments of
            :class:`~mssl_plugins.models.selfsup.base.SelfSupervisor`.

    Raises:
        ValueError: If neck and backbone disagree about the patches, or the
            mask ratio leaves nothing to see or to predict.

    Example:
        >>> dict(
        >>>     type='mssl_plugins.MAE',
        >>>     backbone=dict(type='mssl_plugins.ViT', arch='b', img_size=224, patch_size=16),
        >>>     neck=dict(type='mssl_plugins.MAEDecoder', num_patches=196, embed_dim=768))
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        mask_ratio: float = 0.75,
        mask_unit: int = 1,
        norm_pix: bool = True,
        strategy: str = 'random',
        init_cfg: Union[dict, List[dict], None] = None,
        **kwargs,
    ) -> None:
        init_cfg = init_cfg or [
            dict(type='Xavier', layer='Linear', distribution='uniform'),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ]
        super().__init__(backbone, neck, init_cfg=init_cfg, **kwargs)
        self.grid = tuple(self.backbone.patch_resolution)  # rows and columns
        self.patch = self.backbone.patch_size
        self.mask_ratio, self.mask_unit, self.norm_pix = mask_ratio, mask_unit, norm_pix
        self.check_neck()
        random_keep(1, self.grid, mask_ratio, mask_unit)  # refuse now what cannot work
        if strategy not in MIM_STRATEGIES:
            raise unknown(strategy, MIM_STRATEGIES, 'mask strategy')
        if strategy != 'random' and mask_unit != 1:
            raise ValueError(f'mask_unit={mask_unit} is for random masks, not for {strategy}')
        self.strategy = strategy
        if self.backbone.pos_embed is not None:  # None: its positions are rotary
            self.backbone.pos_embed.requires_grad_(False)

    def check_neck(self) -> None:
        """Refuses a decoder whose patches differ from the backbone's.

        Raises:
            FieldError: Names the decoder's field that does not fit.
        """
        channels = self.backbone.patch_embed.projection.in_channels
        fit = (self.grid, channels * self.patch**2, self.backbone.embed_dims)
        given = (
            self.neck.grid,
            self.neck.decoder_pred.out_features,
            self.neck.decoder_embed.in_features,
        )
        if given != fit:
            (h, w), values, dim = given
            rows, columns = self.grid
            number = rows * columns if rows == columns else self.grid
            wrong = next(i for i in range(3) if given[i] != fit[i])
            raise FieldError(
                ('neck.num_patches', 'neck.patch_size', 'neck.embed_dim')[wrong],
                f'the decoder turns features of {dim} into {h} x {w} patches of {values} values, '
                f'the backbone makes {rows} x {columns} of {fit[1]} with features of {fit[2]}: '
                f'set its num_patches={number}, patch_size={self.patch}, embed_dim={fit[2]}',
            )

    def init_weights(self) -> None:
        """The paper's initialization, unless pre-trained weights are given."""
        if self.is_init:
            return
        super().init_weights()
        for module in (self, self.backbone):
            if isinstance(module.init_cfg, dict) and module.init_cfg['type'] == 'Pretrained':
                return
        backbone = self.backbone
        if backbone.pos_embed is not None:
            backbone.pos_embed.data.copy_(
                sincos_pos_embed(self.grid, backbone.embed_dims, cls_token=True)
            )
        # patches as rows of a linear layer
        nn.init.xavier_uniform_(backbone.patch_embed.projection.weight.data.flatten(1))
        nn.init.normal_(backbone.cls_token, std=0.02)

    def loss(
        self, inputs: Union[Tensor, Sequence[Tensor]], data_samples: Optional[list] = None, **kwargs
    ) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (Tensor | Sequence[Tensor]): One view, (B, 3, H, W).
            data_samples (list, optional): Passed to :meth:`backbone_kwargs`.
            **kwargs: Not used.

        Returns:
            Dict[str, Tensor]: ``loss_mae``.

        Raises:
            ValueError: If there is not exactly one view, of the backbone's
                size.
        """
        images = self.single_view(inputs)  # (B, 3, H, W)
        keep, masked = self.sample_mask(images, data_samples)  # (B, Lk), (B, Lm)
        tokens = self.encode(images, keep, data_samples)  # (B, 1 + Lk, C)
        prediction = self.neck(tokens, keep, masked)  # (B, Lm, p * p * 3)
        return dict(loss_mae=self.mse(prediction, self.target(images, masked)))

    def sample_mask(
        self, images: Tensor, data_samples: Optional[list] = None
    ) -> Tuple[Tensor, Tensor]:
        """Positions of kept (B, Lk) and masked (B, Lm) patches, ascending."""
        if self.strategy == 'random':
            keep, mask = random_keep(
                len(images), self.grid, self.mask_ratio, self.mask_unit, images.device
            )
        else:
            attention = None
            if self.strategy.startswith('attention'):
                attention = self.attention(images, data_samples)
            keep, mask = ranked_keep(
                self.strategy, self.mask_ratio, self.grid, len(images), attention
            )
            keep, mask = keep.to(images.device), mask.to(images.device)
        return keep, token_indices(mask, mask.shape[1] - keep.shape[1])

    @torch.no_grad()
    def attention(self, images: Tensor, data_samples: Optional[list] = None) -> Tensor:
        """Attention of the class token to the patches of whole images, mean over heads, (B, L)."""
        extra = self.backbone_kwargs(data_samples, 0)
        maps = self.backbone.forward_tokens(images, return_attention=True, **extra)[1]
        return upcast(maps).mean(1)

    def encode(self, images: Tensor, keep: Tensor, data_samples: Optional[list]) -> Tensor:
        """Normed [CLS] and kept tokens, (B, 1 + Lk, C)."""
        extra = self.backbone_kwargs(data_samples, 0)
        return self.backbone.forward_tokens(images, keep=keep, **extra)

    def backbone_kwargs(
        self, data_samples: Optional[list], view: int, required: bool = True
    ) -> dict:
        """What the backbone takes of a view besides the image, as for DINO."""
        return {}

    def target(self, images: Tensor, masked: Tensor) -> Tensor:
        """The decoder's target, (B, Lm, p * p * 3), at least float32."""
        x = take(upcast(patchify(images, self.patch)), masked)
        if self.norm_pix:
            var, mean = torch.var_mean(x, -1, keepdim=True)
            x = (x - mean) * (var + 1e-6).rsqrt()
        return x

    @staticmethod
    def mse(prediction: Tensor, target: Tensor) -> Tensor:
        """Mean squared error over masked patches, at least float32."""
        with torch.autocast(target.device.type, enabled=False):
            return F.mse_loss(upcast(prediction), target)

    def extract_feat(self, inputs: Tensor):
        """The backbone's features of whole images, (B, 3, H, W)."""
        return self.backbone(inputs)

    def single_view(self, inputs: Union[Tensor, Sequence[Tensor]]) -> Tensor:
        """The one view, (B, 3, H, W), given as a tensor or in a list.

        Raises:
            ValueError: If there are several views, or the view has another size than the
                model was built for.
        """
        if not isinstance(inputs, Tensor):
            if len(inputs) != 1:
                raise ValueError(
                    f'{type(self).__name__} takes 1 view, got {len(inputs)}: '
                    "set num=1 in the pipeline's mssl_plugins.Views"
                )
            inputs = inputs[0]
        size = tuple(side * self.patch for side in self.grid)
        if inputs.shape[2:] != size:
            raise ValueError(
                f'{type(self).__name__} was built for {size[0]} x {size[1]} px, '
                f'got {tuple(inputs.shape[2:])}'
            )
        return inputs

    @torch.no_grad()
    def reconstruct(
        self,
        inputs: Union[Tensor, Sequence[Tensor]],
        data_samples: Optional[list] = None,
        denormalized: bool = True,
    ) -> Tuple[Tensor, Tensor]:
        """For figures: images with their masked patches predicted, and the mask.

        Args:
            inputs (Tensor | Sequence[Tensor]): (B, 3, H, W), or a list of it.
            data_samples (list, optional): Data samples, for methods that take
                segments. Defaults to None.
            denormalized (bool): Whether to scale predictions of normalized pixels by the true
                mean and standard deviation of the patch, which the network
                does not know. Defaults to True.

        Returns:
            Tuple[Tensor, Tensor]: (B, 3, H, W), the image itself where it is
            not masked; (B, 1, H, W) bool, ``True`` = masked and predicted.
        """
        images = self.single_view(inputs)
        keep, masked = self.sample_mask(images, data_samples)
        pixels = self.neck(self.encode(images, keep, data_samples), keep, masked)
        patches = upcast(patchify(images, self.patch))  # (B, L, p * p * 3)
        if self.norm_pix and denormalized:
            var, mean = torch.var_mean(take(patches, masked), -1, keepdim=True)
            pixels = pixels * (var + 1e-6).sqrt() + mean
        index = masked.unsqueeze(-1)
        patches = patches.scatter(1, index.expand_as(pixels), upcast(pixels))
        mask = torch.zeros_like(patches[..., : self.patch**2], dtype=torch.bool)
        mask = mask.scatter(1, index.expand(-1, -1, self.patch**2), True)
        return (unpatchify(patches, self.patch, self.grid), unpatchify(mask, self.patch, self.grid))
