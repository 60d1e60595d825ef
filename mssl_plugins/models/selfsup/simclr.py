"""SimCLR: A Simple Framework for Contrastive Learning (arXiv 2002.05709)."""

from typing import NamedTuple, Tuple

import torch
from mmpretrain.models import selfsup as mmpretrain
from torch import Tensor

from mssl_plugins.models.layers.unit import unit
from mssl_plugins.models.losses.nt_xent import nt_xent
from mssl_plugins.models.selfsup.base import Siamese
from mssl_plugins.registry import MODELS


class Projected(NamedTuple):
    """Unit vectors, (N, D)."""

    z: Tensor


@MODELS.register_module()
class SimCLR(Siamese, mmpretrain.SimCLR):
    """SimCLR: finds the other view of an image among all other images.

    ::

        z1, z2 = unit(neck(backbone([x1, x2])))    N x D each, one pass, as in mmpretrain
        L      = NT-Xent(z1, z2)                   over 2N (2 N W - 1) pairs

    Negatives come from all W processes and gradients reach them, so that W
    processes equal one process on the same global batch (mmpretrain's
    gradients are W times smaller).

    Args:
        **kwargs: ``backbone, neck, head`` of mmpretrain's SimCLR, ``mixing``
            and others of :class:`Siamese`.
    """

    def embed(self, x: Tensor) -> Projected:
        """Unit vectors (N, D) of (N, 3, H, W)."""
        return Projected(unit(self.project(x)))

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[Projected, Projected]:
        """Both views in one batch, which shares its statistics."""
        z = self.embed(torch.cat([x1, x2])).z  # (2N, D)
        return Projected(z[: len(x1)]), Projected(z[len(x1) :])

    def pair_loss(self, a: Projected, b: Projected) -> Tensor:
        """NT-Xent over the 2N vectors."""
        return nt_xent(a.z, b.z, self.head.loss)
