"""Base classes of the methods: views as input, and two-view (Siamese) methods."""

from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import torch
from mmpretrain.models import BaseSelfSupervisor
from torch import Tensor, nn

from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.registry import MODELS


class SelfSupervisor(BaseSelfSupervisor):
    """mmpretrain's ``BaseSelfSupervisor`` for views that arrive as uint8.

    Args:
        data_preprocessor (dict | nn.Module, optional): Defaults to
            ``dict(type='mssl_plugins.ViewPreprocessor')``.
        channels_last (bool): Keep images and convolution weights in
            channels-last memory. Defaults to False.
        **kwargs: Arguments of mmpretrain's class.
    """

    def __init__(
        self,
        *args,
        data_preprocessor: Union[dict, nn.Module, None] = None,
        channels_last: bool = False,
        **kwargs,
    ) -> None:
        if not isinstance(data_preprocessor, nn.Module):
            data_preprocessor = dict(data_preprocessor or {})
            data_preprocessor.setdefault('type', 'mssl_plugins.ViewPreprocessor')
            if channels_last:
                data_preprocessor['channels_last'] = True
        super().__init__(*args, data_preprocessor=data_preprocessor, **kwargs)
        if channels_last:
            self.to(memory_format=torch.channels_last)

    def two_views(self, inputs: List[Tensor]) -> List[Tensor]:
        """Returns the two views.

        Raises:
            ValueError: For another number of views.
        """
        if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
            given = len(inputs) if isinstance(inputs, (list, tuple)) else type(inputs).__name__
            raise ValueError(f'{type(self).__name__} takes a list of 2 views, got {given}')
        return inputs


class Siamese(SelfSupervisor):
    """A base that compares two views and may compare mixed images as well.

    Subclasses define :meth:`embed_pair`, :meth:`embed` and :meth:`pair_loss`;
    features are named tuples of tensors whose first axis is the batch.
    Momentum encoders are updated by ``mssl_plugins.TeacherHook`` after the
    optimizer's step, not inside the loss.

    Args:
        mixing (dict, optional): Config of ``mssl_plugins.MixMask``. Defaults
            to None, the plain base.
        **kwargs: Arguments of :class:`SelfSupervisor` and of mmpretrain's
            class of the same name.
    """

    def __init__(self, *args, mixing: Optional[dict] = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.mixing = None if mixing is None else MODELS.build(mixing)

    def embed_pair(self, x1: Tensor, x2: Tensor) -> Tuple[NamedTuple, NamedTuple]:
        """Features of both views, (N, 3, H, W) each."""
        raise NotImplementedError

    def embed(self, x: Tensor) -> NamedTuple:
        """Features of a further batch (N, 3, H, W) in the first view's role."""
        raise NotImplementedError

    def pair_loss(self, a: NamedTuple, b: NamedTuple) -> Tensor:
        """The two-view loss L(a, b), a float32 scalar."""
        raise NotImplementedError

    def update_queue(self, b: NamedTuple) -> None:
        """Stores the second view's features, once an iteration (MoCo)."""

    def project(self, x: Tensor) -> Tensor:
        """Backbone and neck: (N, 3, H, W) -> (N, D), float32 or wider."""
        return upcast(self.neck(self.backbone(x))[0])

    def loss(self, inputs: List[Tensor], data_samples=None, **kwargs) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (List[Tensor]): Two views, (N, 3, H, W) each.
            data_samples (list, optional): Not used.
            **kwargs: Not used.

        Returns:
            Dict[str, Tensor]: ``loss``; with mixing, in its place, ``loss_base``
            (of the unmixed views), and for each mixed batch ``loss_unmix`` or
            ``loss_mixmask`` with the unitless ``lambda_*`` that weighted it.

        Raises:
            ValueError: Other than 2 views, or fewer than 2 images a process.
        """
        x1, x2 = self.check_views(inputs)
        a, b = self.embed_pair(x1, x2)
        name = 'loss' if self.mixing is None else 'loss_base'  # the runner logs the sum as `loss`
        losses = {name: self.pair_loss(a, b)}
        for mixed in () if self.mixing is None else self.mixing(x1):
            m = self.embed(mixed.images)  # each feature (N, D)
            undo = mixed.partner.argsort()
            back = type(m)(*(feature[undo] for feature in m))  # row i: (1 - M) part from x1_i
            ahead, behind = self.pair_loss(m, b), self.pair_loss(back, b)
            losses[f'loss_{mixed.name}'] = mixed.lam * ahead + (1 - mixed.lam) * behind
            losses[f'lambda_{mixed.name}'] = losses[name].new_tensor(mixed.lam)
        self.update_queue(b)
        return losses

    def check_views(self, inputs: List[Tensor]) -> List[Tensor]:
        """Returns the two views.

        Raises:
            ValueError: For another number of views, or a batch of one image.
        """
        if len(self.two_views(inputs)[0]) < 2:
            raise ValueError(
                f'{type(self).__name__} compares the images of a batch: '
                f'it needs at least 2 per process, got {len(inputs[0])}'
            )
        return inputs


class Predicted(NamedTuple):
    """Features of BYOL and SimSiam, (N, D) each."""

    prediction: Tensor
    target: Tensor  # without gradient
