"""MoCo: Momentum Contrast, version 1 (arXiv 1911.05722) and 2 (arXiv 2003.04297)."""

from typing import NamedTuple, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather
from mmpretrain.models import selfsup as mmpretrain
from torch import Tensor, nn

from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.layers.shuffle import shuffled
from mssl_plugins.models.layers.split_bn import SplitBatchNorm2d
from mssl_plugins.models.layers.unit import unit
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.models.selfsup.base import Siamese
from mssl_plugins.registry import MODELS


class Query(NamedTuple):
    """Unit vectors of the query encoder, (N, D)."""

    z: Tensor


class Key(NamedTuple):
    """Unit vectors of the key encoder, (N, D), and the queue before them, (D, K)."""

    z: Tensor
    queue: Tensor


@MODELS.register_module()
class MoCo(Siamese, mmpretrain.MoCo):
    """MoCo v1 with a linear neck, v2 with an MLP.

    ::

        q = unit(neck(backbone(x1)))                          N x D
        k = unit(encoder_k(x2)), shuffled BN, no gradient     N x D
        L = CE([q.k, q.queue] / T, 0)                         N x (1 + K)
        queue <- k; after the optimizer: encoder_k <- m encoder_k + (1 - m) encoder_q

    Args:
        momentum (float): m of the key encoder, 0.999 in the paper (mmpretrain
            writes 1 - m). Defaults to 0.999.
        shuffle_bn (bool): Whether the key encoder sees the batch in another
            order: over processes, or over the parts of
            ``mssl_plugins.SplitBN`` in one process. Defaults to True.
        **kwargs: ``backbone, neck, head, queue_len=65536, feat_dim=128`` of
            mmpretrain's MoCo, ``mixing`` and others of :class:`Siamese`.

    Note:
        ``queue_len`` need not be a multiple of the batch: the queue wraps.
    """

    def __init__(self, *args, momentum: float = 0.999, shuffle_bn: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.encoder_k = MomentumTeacher(nn.Sequential(self.backbone, self.neck), momentum)
        self.shuffle_bn = shuffle_bn
        self.split_bn = any(isinstance(m, SplitBatchNorm2d) for m in self.backbone.modules())

    def embed(self, x: Tensor) -> Query:
        """Unit query vectors (N, D) of (N, 3, H, W)."""
        return Query(unit(self.project(x)))

    @torch.no_grad()
    def embed_key(self, x: Tensor) -> Key:
        """Keys of the clean second view, with shuffled BatchNorm."""

        def encode(x: Tensor) -> Tensor:
            return upcast(self.encoder_k(x)[0])

        k = shuffled(encode, (x,), self.split_bn) if self.shuffle_bn else encode(x)
        k = F.normalize(k, dim=1)
        return Key(k, self.queue.clone())  # the buffer changes before the backward pass

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[Query, Key]:
        """The first view as query, the second as key."""
        return self.embed(x1), self.embed_key(x2)

    def pair_loss(self, q: Query, k: Key) -> Tensor:
        """InfoNCE of the queries against their keys and the queue."""
        with torch.autocast(q.z.device.type, enabled=False):
            positive = (q.z * k.z).sum(1, keepdim=True)  # (N, 1)
            negative = q.z @ k.queue  # (N, K)
            return self.head.loss(positive, negative)

    @torch.no_grad()
    def update_queue(self, k: Key) -> None:
        """Replaces the oldest keys by the new keys of all processes.

        Raises:
            ValueError: If they are more than the queue holds.
        """
        keys = torch.cat(all_gather(k.z))
        n, length = len(keys), self.queue.shape[1]
        if n > length:
            raise ValueError(f'a global batch of {n} keys does not fit a queue of {length}')
        columns = (self.queue_ptr + torch.arange(n, device=keys.device)) % length
        self.queue[:, columns] = keys.T.to(self.queue.dtype)
        self.queue_ptr[0] = (self.queue_ptr[0] + n) % length
