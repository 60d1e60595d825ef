"""BYOL: Bootstrap Your Own Latent (arXiv 2006.07733)."""

from typing import Tuple

import torch
from mmpretrain.models import selfsup as mmpretrain
from torch import Tensor, nn

from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.models.selfsup.base import Predicted, Siamese
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class BYOL(Siamese, mmpretrain.BYOL):
    """BYOL: predict what a momentum encoder makes of the other view.

    ::

        p_i = predictor(neck(backbone(x_i)))                 N x D
        t_i = target_net(x_i), no gradient                   N x D
        L   = -2 mean(cos(p_1, t_2)) - 2 mean(cos(p_2, t_1))
        after the optimizer: target_net <- m target_net + (1 - m) online

    This equals the paper's ``|unit(p) - unit(t)|^2``, summed over both orders, minus
    the constant 4.

    Args:
        momentum (float): m of the target network, 0.996 in the paper, raised to
            1 by ``mssl_plugins.ScheduleHook`` on ``target_net.momentum``
            (mmpretrain writes 1 - m). Defaults to 0.996.
        **kwargs: ``backbone, neck, head`` of mmpretrain's BYOL, ``mixing`` and
            others of :class:`Siamese`.
    """

    def __init__(self, *args, momentum: float = 0.996, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.target_net = MomentumTeacher(nn.Sequential(self.backbone, self.neck), momentum)

    def embed(self, x: Tensor) -> Predicted:
        """Prediction and target projection of (N, 3, H, W)."""
        prediction = upcast(self.head.predictor([self.project(x)])[0])
        return Predicted(prediction, upcast(self.target_net(x)[0]))

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[Predicted, Predicted]:
        """Each view through both networks, for the symmetric loss."""
        return self.embed(x1), self.embed(x2)

    def pair_loss(self, a: Predicted, b: Predicted) -> Tensor:
        """Both directions, each twice the negative mean cosine."""
        with torch.autocast(a.prediction.device.type, enabled=False):
            distance = self.head.loss_module  # -mean(cos)
            return 2 * (distance(a.prediction, b.target) + distance(b.prediction, a.target))
