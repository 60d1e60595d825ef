"""SimSiam: Exploring Simple Siamese Representation Learning (arXiv 2011.10566)."""

from typing import Tuple

import torch
from mmpretrain.models import selfsup as mmpretrain
from torch import Tensor

from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.selfsup.base import Predicted, Siamese
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class SimSiam(Siamese, mmpretrain.SimSiam):
    """SimSiam: predicts the other view's projection, which gets no gradient.

    ::

        z_i = neck(backbone(x_i)), p_i = predictor(z_i)      N x D
        L   = -mean(cos(p_1, stop(z_2))) / 2 - mean(cos(p_2, stop(z_1))) / 2

    mmpretrain's ``SimSiamHook`` keeps the predictor's learning rate constant.

    Args:
        **kwargs: ``backbone, neck, head`` of mmpretrain's SimSiam, ``mixing``
            and others of :class:`Siamese`.
    """

    def embed(self, x: Tensor) -> Predicted:
        """Prediction and detached projection of (N, 3, H, W)."""
        z = self.project(x)
        return Predicted(upcast(self.head.predictor([z])[0]), z.detach())

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[Predicted, Predicted]:
        """Each view by itself, with its own batch statistics."""
        return self.embed(x1), self.embed(x2)

    def pair_loss(self, a: Predicted, b: Predicted) -> Tensor:
        """Mean of both directions of the negative mean cosine."""
        with torch.autocast(a.prediction.device.type, enabled=False):
            distance = self.head.loss_module  # -mean(cos)
            return 0.5 * (distance(a.prediction, b.target) + distance(b.prediction, a.target))
