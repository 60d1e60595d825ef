"""ASL: Self-Supervised Representation Learning from Arbitrary Scenarios (CVPR 2024).

Supplement sections 2, 9, 10 and 12. How the parts fit together is our
reconstruction; each choice is an argument.
"""

from typing import Dict, Optional, Sequence, Union

import torch
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor

from mssl_plugins.errors import unknown
from mssl_plugins.models.losses.patch_contrast import PatchContrast
from mssl_plugins.models.selfsup.mae import MAE
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class ASL(MAE):
    """MAE with a second branch of augmented features that learns patch by patch.

    ::

        f     = encoder(visible patches)
        f'    = T(f)                    one Transformer layer, dropout 0.5
        p, p' = decoder([f ; f'])       one pass, same mask and positions
        loss  = MSE(p, x) + w L_SEM(p', x)

    T is dropped after pre-training.  At w = 0 without T this is :class:`MAE`.

    Args:
        backbone (dict): As in :class:`MAE`.
        neck (dict): As in :class:`MAE`.
        sem (str): L_SEM. ``'contrast_targets'``: L_single against the pixels'
            pseudo labels; ``'contrast_branches'``: against the first branch's
            predictions, without gradient; ``'reconstruct'``: the mean squared
            error. Defaults to ``'contrast_targets'`` (our choice; what was
            measured is in docs/evidence.md).
        weight (float): w >= 0, 1 in the paper. Defaults to 1.
        layer (dict, optional): Arguments of T: ``num_heads`` (the paper's 4),
            ``drop_rate`` (the paper's 0.5, after the attention's projection
            and in the MLP), ``attn_drop_rate`` (0; that attention weights
            are not dropped is our choice, as is the MLP ratio 4 in
            ``feedforward_channels``). None leaves T out, then p' = p.
            Defaults to ``dict(num_heads=4, drop_rate=0.5)``.
        contrast (dict, optional): Arguments of
            ``mssl_plugins.PatchContrast``: negatives, temperature, chunk,
            gather. Defaults to None.
        **kwargs: Arguments of :class:`MAE`.

    Raises:
        ValueError: Unknown ``sem``, a negative weight, or
            ``'contrast_branches'`` without T, where both branches are one.
    """

    SEM = ('contrast_targets', 'contrast_branches', 'reconstruct')

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        sem: str = 'contrast_targets',
        weight: float = 1.0,
        layer: Optional[dict] = dict(num_heads=4, drop_rate=0.5),
        contrast: Optional[dict] = None,
        **kwargs,
    ) -> None:
        super().__init__(backbone, neck, **kwargs)
        if sem not in self.SEM:
            raise unknown(sem, self.SEM, 'L_SEM')
        if weight < 0:
            raise ValueError(f'the weight of L_SEM must not be negative, got {weight}')
        if sem == 'contrast_branches' and layer is None:
            raise ValueError(
                "sem='contrast_branches' needs the layer T: without it both branches are the same"
            )
        self.sem, self.weight = sem, weight
        self.contrast = PatchContrast(**(contrast or {}))
        dim = self.backbone.embed_dims
        self.layer = (
            None
            if layer is None
            else TransformerEncoderLayer(
                dim,
                **{
                    **dict(feedforward_channels=4 * dim, norm_cfg=dict(type='LN', eps=1e-6)),
                    **layer,
                },
            )
        )

    def loss(
        self, inputs: Union[Tensor, Sequence[Tensor]], data_samples: Optional[list] = None, **kwargs
    ) -> Dict[str, Tensor]:
        """Losses of one iteration, arguments as in :meth:`MAE.loss`.

        Returns:
            Dict[str, Tensor]: ``loss_mae`` and ``loss_sem``, the latter
            already weighted and absent at w = 0 without T.
        """
        images = self.single_view(inputs)  # (B, 3, H, W)
        keep, masked = self.sample_mask(images, data_samples)  # (B, Lk), (B, Lm)
        target = self.target(images, masked)  # (B, Lm, p * p * 3)
        f = self.encode(images, keep, data_samples)  # (B, 1 + Lk, C)
        if self.layer is None:
            first = second = self.neck(f, keep, masked)  # (B, Lm, p * p * 3)
        else:
            both = self.neck(torch.cat([f, self.layer(f)]), keep.repeat(2, 1), masked.repeat(2, 1))
            first, second = both.chunk(2)
        losses = dict(loss_mae=self.mse(first, target))
        if self.weight or self.layer is not None:  # so that T always has a gradient
            losses['loss_sem'] = self.weight * self.sem_loss(second, first, target, masked)
        return losses

    def sem_loss(self, second: Tensor, first: Tensor, target: Tensor, masked: Tensor) -> Tensor:
        """L_SEM of the second branch's predictions, (B, Lm, values)."""
        if self.sem == 'reconstruct':
            return self.mse(second, target)
        label = target if self.sem == 'contrast_targets' else first.detach()
        return self.contrast(second, label, masked)
