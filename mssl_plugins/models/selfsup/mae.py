"""MAE: Masked Autoencoders Are Scalable Vision Learners (arXiv 2111.06377).

Implemented from the paper: sections 3 and A.1.
"""
from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmpretrain.models import BaseSelfSupervisor
from mmpretrain.models.utils import build_2d_sincos_position_embedding
from torch import Tensor, nn

from mssl_plugins.models.masking import random_keep, token_indices
from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.registry import MODELS


def patchify(images: Tensor, patch: int) -> Tensor:
    """Images as rows of patches, each patch row by row, channels last.

    Args:
        images (Tensor): (B, C, H, W), H and W divisible by ``patch``.
        patch (int): Side of a patch in px.

    Returns:
        Tensor: (B, L, patch * patch * C).
    """
    x = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))  # (B, C, h, p, w, p)
    return x.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, patch: int, grid: Tuple[int, int]) -> Tensor:
    """The inverse of :func:`patchify`.

    Args:
        patches (Tensor): (B, L, patch * patch * C).
        patch (int): Side of a patch in px.
        grid (Tuple[int, int]): Patches from top to bottom and left to right.

    Returns:
        Tensor: (B, C, H, W).
    """
    x = patches.unflatten(2, (patch, patch, -1)).unflatten(1, grid)  # (B, h, w, p, p, C)
    return x.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def take(tokens: Tensor, index: Tensor) -> Tensor:
    """(B, L, D) at positions (B, n) -> (B, n, D)."""
    return tokens.gather(1, index.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))


@MODELS.register_module()
class MAE(BaseSelfSupervisor):
    """MAE: encode the visible patches, decode the pixels of the others.

    Args:
        backbone (dict): Config of ``mssl_plugins.ViT``. Its position
            embeddings become fixed sines and cosines.
        neck (dict): Config of ``mssl_plugins.MAEDecoder``.
        mask_ratio (float): Share of masked patches, 0.75 in the paper.
            Defaults to 0.75.
        mask_unit (int): Side of a mask cell in tokens; 2 for ViT/8. Defaults
            to 1.
        norm_pix (bool): Normalise the pixels of each target patch by its own
            mean and deviation. Defaults to True.
        data_preprocessor (dict, optional): Defaults to
            ``dict(type='mssl_plugins.ViewPreprocessor')``.
        pretrained (str, optional): Checkpoint of the whole model.
        init_cfg (dict | list, optional): Defaults to None, the paper's:
            Xavier-uniform linear layers.

    Raises:
        ValueError: If neck and backbone disagree about the patches, or the
            mask ratio leaves nothing to see or to predict.

    Example:
        >>> dict(
        >>>     type='mssl_plugins.MAE',
        >>>     backbone=dict(type='mssl_plugins.ViT', arch='b', img_size=224, patch_size=16),
        >>>     neck=dict(type='mssl_plugins.MAEDecoder', num_patches=196, embed_dim=768))
    """

    def __init__(self,
                 backbone: dict,
                 neck: dict,
                 mask_ratio: float = 0.75,
                 mask_unit: int = 1,
                 norm_pix: bool = True,
                 data_preprocessor: Optional[dict] = None,
                 pretrained: Optional[str] = None,
                 init_cfg: Union[dict, List[dict], None] = None) -> None:
        if not isinstance(data_preprocessor, nn.Module):
            data_preprocessor = dict(data_preprocessor or {})
            data_preprocessor.setdefault('type', 'mssl_plugins.ViewPreprocessor')
        init_cfg = init_cfg or [
            dict(type='Xavier', layer='Linear', distribution='uniform'),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0)]
        super().__init__(backbone, neck, pretrained=pretrained,
                         data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.grid = tuple(self.backbone.patch_resolution)
        self.patch = self.backbone.patch_embed.projection.kernel_size[0]
        self.mask_ratio, self.mask_unit, self.norm_pix = mask_ratio, mask_unit, norm_pix
        length, values = self.grid[0] * self.grid[1], 3 * self.patch**2
        given = (self.neck.num_patches, self.neck.decoder_pred.out_features,
                 self.neck.decoder_embed.in_features)
        if given != (length, values, self.backbone.embed_dims):
            raise ValueError(
                f'the decoder turns features of {given[2]} into {given[0]} patches of {given[1]} '
                f'values, the backbone makes {length} of {values} with features of '
                f'{self.backbone.embed_dims}: set its num_patches={length}, '
                f'patch_size={self.patch}, embed_dim={self.backbone.embed_dims}')
        random_keep(1, length, mask_ratio, mask_unit)  # refuse now what cannot work
        self.backbone.pos_embed.requires_grad_(False)

    def init_weights(self) -> None:
        """The paper's initialisation, unless pre-trained weights are given."""
        if self.is_init:
            return
        super().init_weights()
        for module in (self, self.backbone):
            if isinstance(module.init_cfg, dict) and module.init_cfg['type'] == 'Pretrained':
                return
        backbone = self.backbone
        place = build_2d_sincos_position_embedding(
            self.grid, backbone.embed_dims, cls_token=True)
        backbone.pos_embed.data.copy_(place)
        # patches as rows of a linear layer
        nn.init.xavier_uniform_(backbone.patch_embed.projection.weight.data.flatten(1))
        nn.init.normal_(backbone.cls_token, std=.02)

    def context(self, data_samples: Optional[list]) -> dict:
        """Further arguments of the backbone, such as its attention bias."""
        return {}

    def draw(self, images: Tensor) -> Tuple[Tensor, Tensor]:
        """Positions of kept (B, Lk) and masked (B, Lm) patches."""
        length = self.grid[0] * self.grid[1]
        keep, mask = random_keep(len(images), length, self.mask_ratio, self.mask_unit,
                                 images.device)
        return keep, token_indices(mask, length - keep.shape[1])

    def target(self, images: Tensor, masked: Tensor) -> Tensor:
        """What the decoder is to predict, (B, Lm, values), at least float32."""
        x = take(upcast(patchify(images, self.patch)), masked)
        if self.norm_pix:
            var, mean = torch.var_mean(x, -1, keepdim=True)
            x = (x - mean) * (var + 1e-6).rsqrt()
        return x

    def encode(self, images: Tensor, keep: Tensor, data_samples: Optional[list]) -> Tensor:
        """Normed [CLS] and kept tokens, (B, 1 + Lk, C)."""
        return self.backbone.forward_tokens(images, keep=keep, **self.context(data_samples))

    def extract_feat(self, inputs: Tensor):
        """The backbone's features of whole images, (B, 3, H, W)."""
        return self.backbone(inputs)

    def loss(self, inputs: Union[Tensor, Sequence[Tensor]], data_samples: Optional[list] = None,
             **kwargs) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (Tensor | Sequence[Tensor]): One view, (B, 3, H, W).
            data_samples (list, optional): Passed to :meth:`context`.

        Returns:
            Dict[str, Tensor]: ``loss_mae``.

        Raises:
            ValueError: If there is not exactly one view, of the backbone's
                size.
        """
        images = self.view(inputs)
        keep, masked = self.draw(images)
        prediction = self.neck(self.encode(images, keep, data_samples), keep, masked)
        return dict(loss_mae=self.mse(prediction, self.target(images, masked)))

    @staticmethod
    def mse(prediction: Tensor, target: Tensor) -> Tensor:
        """Mean squared error over masked patches, at least float32."""
        with torch.autocast(target.device.type, enabled=False):
            return F.mse_loss(upcast(prediction), target)

    def view(self, inputs: Union[Tensor, Sequence[Tensor]]) -> Tensor:
        """The one view, (B, 3, H, W), of a list or itself."""
        if not isinstance(inputs, Tensor):
            if len(inputs) != 1:
                raise ValueError(f'{type(self).__name__} takes 1 view, got {len(inputs)}: '
                                 "set num=1 in the pipeline's mssl_plugins.Views")
            inputs = inputs[0]
        size = tuple(side * self.patch for side in self.grid)
        if inputs.shape[2:] != size:
            raise ValueError(f'{type(self).__name__} was built for {size[0]} x {size[1]} px, '
                             f'got {tuple(inputs.shape[2:])}')
        return inputs

    @torch.no_grad()
    def reconstruct(self, inputs: Union[Tensor, Sequence[Tensor]],
                    data_samples: Optional[list] = None) -> Tuple[Tensor, Tensor]:
        """For pictures: predicted pixels in normalised units, and the mask.

        Normalised predictions get the true patch's mean and deviation back.

        Returns:
            Tuple[Tensor, Tensor]: (B, 3, H, W), where unmasked the image
            itself; (B, 1, H, W) bool, ``True`` = masked and predicted.
        """
        images = self.view(inputs)
        keep, masked = self.draw(images)
        pixels = self.neck(self.encode(images, keep, data_samples), keep, masked)
        patches = upcast(patchify(images, self.patch))
        if self.norm_pix:
            var, mean = torch.var_mean(take(patches, masked), -1, keepdim=True)
            pixels = pixels * (var + 1e-6).sqrt() + mean
        index = masked.unsqueeze(-1)
        picture = patches.scatter(1, index.expand_as(pixels), upcast(pixels))
        covered = torch.zeros_like(patches[..., :self.patch**2], dtype=torch.bool).scatter(
            1, index.expand(-1, -1, self.patch**2), True)
        return (unpatchify(picture, self.patch, self.grid),
                unpatchify(covered, self.patch, self.grid))
