"""MoCo, SimCLR, BYOL and SimSiam as bases of masked methods.

Each extends mmpretrain's class of the same name and splits its loss into
features (:meth:`Siamese.embed_pair`, :meth:`Siamese.embed`) and a loss on
features (:meth:`Siamese.pair_loss`), so that a method may put further
pictures through the same loss.  Teachers are moved by
``mssl_plugins.TeacherHook``, not inside the loss.
"""
from typing import Dict, List, NamedTuple, Optional, Tuple

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank, get_world_size
from mmpretrain.models import selfsup as mmpretrain
from torch import Tensor, nn

from mssl_plugins.distributed import GatherWithGradient
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.layers.shuffle import shuffled
from mssl_plugins.models.layers.split_bn import SplitBatchNorm2d
from mssl_plugins.registry import MODELS


class Siamese(mmpretrain.BaseSelfSupervisor):
    """What a two-view base offers to a method that adds pictures.

    Subclasses define :meth:`embed_pair`, :meth:`embed` and :meth:`pair_loss`;
    features are named tuples of tensors whose first axis is the batch.

    Args:
        mixing (dict, optional): Config of ``mssl_plugins.MixMask``. Defaults
            to None, the plain base.
        channels_last (bool): Keep convolution weights in channels-last
            memory. Defaults to False.
        data_preprocessor (dict, optional): Defaults to
            ``dict(type='mssl_plugins.ViewPreprocessor')``.
        **kwargs: Arguments of mmpretrain's class.
    """

    def __init__(self,
                 *args,
                 mixing: Optional[dict] = None,
                 channels_last: bool = False,
                 data_preprocessor: Optional[dict] = None,
                 **kwargs) -> None:
        if data_preprocessor is None or isinstance(data_preprocessor, dict):
            data_preprocessor = dict(data_preprocessor or {})
            data_preprocessor.setdefault('type', 'mssl_plugins.ViewPreprocessor')
            if channels_last:
                data_preprocessor['channels_last'] = True
        super().__init__(*args, data_preprocessor=data_preprocessor, **kwargs)
        self.mixing = None if mixing is None else MODELS.build(mixing)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[NamedTuple, NamedTuple]:
        """Features of both views, (N, 3, H, W) each."""
        raise NotImplementedError

    def embed(self, x: Tensor) -> NamedTuple:
        """Features of a further batch (N, 3, H, W) in the first view's role."""
        raise NotImplementedError

    def pair_loss(self, a: NamedTuple, b: NamedTuple) -> Tensor:
        """The base's two-view loss, a float32 scalar."""
        raise NotImplementedError

    def finish(self, b: NamedTuple) -> None:
        """What happens once an iteration, after all losses."""

    def project(self, x: Tensor) -> Tensor:
        """Backbone and neck: (N, 3, H, W) -> (N, D), float32 or wider."""
        return upcast(self.neck(self.backbone(x))[0])

    def loss(self, inputs: List[Tensor], data_samples=None, **kwargs) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (List[Tensor]): Two views, (N, 3, H, W) each.
            data_samples (list, optional): Not used.

        Returns:
            Dict[str, Tensor]: ``loss``, and the terms of the mixing.
        """
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            given = len(inputs) if isinstance(inputs, (list, tuple)) else type(inputs).__name__
            raise ValueError(f'{type(self).__name__} takes a list of 2 views, got {given}')
        x1, x2 = inputs
        if len(x1) < 2:
            raise ValueError(f'{type(self).__name__} compares the pictures of a batch: '
                             f'it needs at least 2 per process, got {len(x1)}')
        a, b = self.embed_pair(x1, x2)
        losses = dict(loss=self.pair_loss(a, b))
        if self.mixing is not None:
            losses.update(self.mixing(self, x1, b))
        self.finish(b)
        return losses


class Query(NamedTuple):
    """Unit vectors of MoCo's query encoder, (N, D)."""
    z: Tensor


class Key(NamedTuple):
    """Unit vectors of the key encoder, (N, D), and the queue before them, (D, K)."""
    z: Tensor
    queue: Tensor


@MODELS.register_module()
class MoCo(Siamese, mmpretrain.MoCo):
    """MoCo v1 and v2 (arXiv 1911.05722, 2003.04297); the neck makes the version.

    Args:
        momentum (float): m of the key encoder, 0.999 in the paper (mmpretrain
            writes 1 - m). Defaults to 0.999.
        shuffle_bn (bool): Let the key encoder see the batch in another order:
            over processes, or over the parts of
            ``mssl_plugins.SplitBN`` in one process. Defaults to True.
        **kwargs: ``backbone, neck, head, queue_len=65536, feat_dim=128`` of
            mmpretrain's MoCo, ``mixing`` and ``channels_last`` of
            :class:`Siamese`.

    Note:
        ``queue_len`` need not be a multiple of the batch: the queue wraps.
    """

    def __init__(self, *args, momentum: float = 0.999, shuffle_bn: bool = True, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.encoder_k = MomentumTeacher(nn.Sequential(self.backbone, self.neck), momentum)
        self.shuffle_bn = shuffle_bn
        self.split_bn = any(isinstance(m, SplitBatchNorm2d) for m in self.backbone.modules())

    def embed(self, x: Tensor) -> Query:
        return Query(F.normalize(self.project(x), dim=1))

    @torch.no_grad()
    def embed_key(self, x: Tensor) -> Key:
        """Keys of the clean second view, with shuffled BatchNorm."""
        def encode(x: Tensor) -> Tensor:
            return upcast(self.encoder_k(x)[0])

        k = shuffled(encode, (x, ), self.split_bn) if self.shuffle_bn else encode(x)
        k = F.normalize(k, dim=1)
        return Key(k, self.queue.clone())  # the buffer changes before the backward pass

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[Query, Key]:
        return self.embed(x1), self.embed_key(x2)

    def pair_loss(self, a: Query, b: Key) -> Tensor:
        with torch.autocast(a.z.device.type, enabled=False):
            positive = (a.z * b.z).sum(1, keepdim=True)  # (N, 1)
            negative = a.z @ b.queue  # (N, K)
            return self.head.loss(positive, negative)

    def finish(self, b: Key) -> None:
        self._dequeue_and_enqueue(b.z)

    @torch.no_grad()
    def _dequeue_and_enqueue(self, keys: Tensor) -> None:
        keys = torch.cat(all_gather(keys))
        n, length = len(keys), self.queue.shape[1]
        if n > length:
            raise ValueError(f'a global batch of {n} keys does not fit a queue of {length}')
        place = (self.queue_ptr + torch.arange(n, device=keys.device)) % length
        self.queue[:, place] = keys.T.to(self.queue.dtype)
        self.queue_ptr[0] = (self.queue_ptr[0] + n) % length


class Projected(NamedTuple):
    """Unit vectors of SimCLR, (N, D)."""
    z: Tensor


@MODELS.register_module()
class SimCLR(Siamese, mmpretrain.SimCLR):
    """SimCLR (arXiv 2002.05709).

    Both views share one forward pass, as in mmpretrain.  Negatives come from
    all processes and gradients reach them, so that W processes equal one
    process on the same global batch (mmpretrain's are W times smaller).

    Args:
        **kwargs: ``backbone, neck, head`` of mmpretrain's SimCLR, ``mixing``
            and ``channels_last`` of :class:`Siamese`.
    """

    def embed(self, x: Tensor) -> Projected:
        return Projected(F.normalize(self.project(x), dim=1))

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[Projected, Projected]:
        z = self.embed(torch.cat([x1, x2])).z
        return Projected(z[:len(x1)]), Projected(z[len(x1):])

    def pair_loss(self, a: Projected, b: Projected) -> Tensor:
        with torch.autocast(a.z.device.type, enabled=False):
            z = torch.cat([a.z, b.z])  # (2N, D): rows i and i + N are a pair
            n, device = len(a.z), z.device
            everybody = GatherWithGradient.apply(z) if get_world_size() > 1 else z
            row = torch.arange(2 * n, device=device)
            me = row + get_rank() * 2 * n  # this process' rows among all
            partner = (row + n) % (2 * n) + get_rank() * 2 * n
            similarity = z @ everybody.T  # (2N, 2N W)
            others = torch.ones_like(similarity, dtype=torch.bool)
            others[row, me] = others[row, partner] = False
            return self.head.loss(
                similarity[row, partner, None],
                similarity[others].reshape(2 * n, -1))


class Predicted(NamedTuple):
    """Predictions and what they are compared with, (N, D) both."""
    prediction: Tensor
    target: Tensor


@MODELS.register_module()
class BYOL(Siamese, mmpretrain.BYOL):
    """BYOL (arXiv 2006.07733).

    Args:
        momentum (float): m of the target network, 0.996 in the paper, moved to
            1 by ``mssl_plugins.ScheduleHook`` on ``target_net.momentum``
            (mmpretrain writes 1 - m). Defaults to 0.996.
        **kwargs: ``backbone, neck, head`` of mmpretrain's BYOL, ``mixing`` and
            ``channels_last`` of :class:`Siamese`.
    """

    def __init__(self, *args, momentum: float = 0.996, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.target_net = MomentumTeacher(nn.Sequential(self.backbone, self.neck), momentum)

    def embed(self, x: Tensor) -> Predicted:
        prediction = upcast(self.head.predictor([self.project(x)])[0])
        return Predicted(prediction, upcast(self.target_net(x)[0]))

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[Predicted, Predicted]:
        return self.embed(x1), self.embed(x2)

    def pair_loss(self, a: Predicted, b: Predicted) -> Tensor:
        with torch.autocast(a.prediction.device.type, enabled=False):
            compare = self.head.loss_module
            return 2 * (compare(a.prediction, b.target) + compare(b.prediction, a.target))


@MODELS.register_module()
class SimSiam(Siamese, mmpretrain.SimSiam):
    """SimSiam (arXiv 2011.10566).

    The predictor's constant learning rate is mmpretrain's ``SimSiamHook``.

    Args:
        **kwargs: ``backbone, neck, head`` of mmpretrain's SimSiam, ``mixing``
            and ``channels_last`` of :class:`Siamese`.
    """

    def embed(self, x: Tensor) -> Predicted:
        z = self.project(x)
        return Predicted(upcast(self.head.predictor([z])[0]), z.detach())

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[Predicted, Predicted]:
        return self.embed(x1), self.embed(x2)

    def pair_loss(self, a: Predicted, b: Predicted) -> Tensor:
        with torch.autocast(a.prediction.device.type, enabled=False):
            compare = self.head.loss_module
            return 0.5 * (compare(a.prediction, b.target) + compare(b.prediction, a.target))
