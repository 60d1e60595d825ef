"""DINO: Emerging Properties in Self-Supervised Vision Transformers.

arXiv 2104.14294, sections 3.1 and 3.2, Algorithm 1 and appendix C.
"""

from contextlib import nullcontext
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mssl_plugins.models.heads.dino_head import without_running_stats
from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.models.selfsup.base import SelfSupervisor
from mssl_plugins.registry import MODELS


class Encoded(NamedTuple):
    """The output of a network for V views of B images.

    Attributes:
        logits (Tensor, optional): Logits of the head, (V, B, K).
        tokens (List[Tensor]): Normed [CLS] and patch tokens of each view,
            (B, 1 + L, C); None without patch tokens.
        attention (List[Tensor]): Attention of [CLS] to the patches in the last
            block, (B, L), mean over heads, float32; None if not asked for.
    """

    logits: Optional[Tensor]
    tokens: List[Optional[Tensor]]
    attention: List[Optional[Tensor]]


class Encoder(nn.Module):
    """Backbone and head as the one network that student and teacher are.

    Args:
        backbone (nn.Module): ``mssl_plugins.ViT``, or any backbone of
            mmpretrain that gives a map (pooled here) or a class token.
        head (nn.Module): ``mssl_plugins.DINOHead``.
        bn_per_view (bool): See :class:`DINO`.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, bn_per_view: bool) -> None:
        super().__init__()
        self.backbone, self.head, self.bn_per_view = backbone, head, bn_per_view
        self.apart = bn_per_view and any(isinstance(m, _BatchNorm) for m in backbone.modules())

    def forward(
        self,
        views: Sequence[Tensor],
        extras: Sequence[dict],
        stat_views: int,
        attention: bool = False,
        logits: bool = True,
    ) -> Encoded:
        """Encodes all views in as few passes as their sizes allow; the head runs once.

        Args:
            views (Sequence[Tensor]): V views, (B, 3, S, S), each of its S.
            extras (Sequence[dict]): V dicts of further arguments of
                ``backbone.forward_tokens``: tensors (B, ...), or values for
                the whole pass.
            stat_views (int): How many views, from the first, update
                BatchNorm's running statistics under ``bn_per_view``.
            attention (bool): Return attention. Defaults to False.
            logits (bool): Return logits. Defaults to True.

        Returns:
            Encoded: Of the V views.
        """
        features, tokens, maps = [], [], []
        for start, stop in self.groups(views, extras):
            x = torch.cat(list(views[start:stop]))  # (n * B, 3, S, S)
            extra = {
                key: torch.cat([e[key] for e in extras[start:stop]])
                if isinstance(value, Tensor)
                else value
                for key, value in extras[start].items()
            }
            batch_only = self.apart and start >= stat_views
            with without_running_stats(self.backbone) if batch_only else nullcontext():
                feature, token, weights = self.encode(x, extra, attention)
            features.append(feature)
            tokens += [None] * (stop - start) if token is None else token.chunk(stop - start)
            maps += [None] * (stop - start) if weights is None else weights.chunk(stop - start)
        z = None
        if logits:
            parts = (len(views), stat_views) if self.bn_per_view else ()
            z = self.head(torch.cat(features), *parts)  # (V * B, K)
            z = z.unflatten(0, (len(views), -1))
        return Encoded(z, tokens, maps)

    def groups(self, views: Sequence[Tensor], extras: Sequence[dict]) -> List[Tuple[int, int]]:
        """Runs of views that share a pass, as (first, last + 1)."""
        edges = [
            i
            for i in range(1, len(views))
            if self.apart
            or views[i].shape != views[i - 1].shape
            or extras[i].keys() != extras[i - 1].keys()
        ]
        return list(zip([0, *edges], [*edges, len(views)]))

    def encode(
        self, x: Tensor, extra: dict, attention: bool
    ) -> Tuple[Tensor, Optional[Tensor], Optional[Tensor]]:
        """(N, 3, S, S) -> features (N, C), tokens (N, 1 + L, C), attention (N, L).

        Raises:
            TypeError: If masks, segments or attention are asked of a backbone
                without ``forward_tokens``.
        """
        if not hasattr(self.backbone, 'forward_tokens'):
            if extra or attention:
                raise TypeError(
                    f'{type(self.backbone).__name__} takes no masks or segments and shows no '
                    "attention: use backbone=dict(type='mssl_plugins.ViT', ...)"
                )
            out = self.backbone(x)
            out = out[-1] if isinstance(out, (tuple, list)) else out
            return (out.mean((2, 3)) if out.dim() == 4 else out), None, None
        if not attention:
            tokens = self.backbone.forward_tokens(x, **extra)
            return tokens[:, 0], tokens, None
        tokens, weights = self.backbone.forward_tokens(x, return_attention=True, **extra)
        return tokens[:, 0], tokens, upcast(weights).mean(1)


@MODELS.register_module()
class DINO(SelfSupervisor):
    """DINO: multi-crop self-distillation with a momentum teacher.

    The first ``num_global`` views go to student and teacher, the others
    (local crops) to the student; each teacher view is the target of every
    other student view.  ``mssl_plugins.TeacherHook`` makes the EMA update,
    ``mssl_plugins.ScheduleHook`` sets its momentum (``teacher.momentum``),
    the teacher's temperature (``criterion.teacher_temp``) and the weight
    decay, ``mssl_plugins.FreezeHook`` freezes ``head.last_layer`` for an
    epoch and ``mssl_plugins.ClipEachHook`` clips.

    Args:
        backbone (dict): ``mssl_plugins.ViT`` (DINO's own with
            ``weight_init='dino', interpolate_offset=0.1, antialias=False``),
            or any backbone of mmpretrain. Its drop path is for the student
            only.
        head (dict): Config of ``mssl_plugins.DINOHead``.
        criterion (dict, optional): Arguments of ``mssl_plugins.DINOLoss``.
            Defaults to None.
        momentum (float): m of the teacher at the start. Defaults to 0.996.
        num_global (int): Number of global views. Defaults to 2.
        bn_per_view (bool): Normalize each view by its own images in
            BatchNorm layers, and let only global views update the running
            statistics (MST). Backbones with BatchNorm then take each view in
            a pass of its own. Defaults to False, DINO's: same-size views
            share statistics in the backbone, all views in the head.
        neck (dict, optional): Not used by DINO itself. Defaults to None.
        data_preprocessor (dict, optional): Defaults to
            ``dict(type='mssl_plugins.ViewPreprocessor')``.
        pretrained (str, optional): Checkpoint of the whole model. Defaults to None.
        init_cfg (dict | list, optional): Defaults to None.

    Raises:
        ValueError: If head and criterion differ in the number of prototypes,
            or ``num_global`` is below 1.

    Note:
        With gradient accumulation the center is updated once a forward pass,
        the teacher once an optimizer step.

    Example:
        >>> dict(
        >>>     type='mssl_plugins.DINO',
        >>>     backbone=dict(type='mssl_plugins.ViT', arch='deit-s', drop_path_rate=0.1,
        >>>                   weight_init='dino'),
        >>>     head=dict(type='mssl_plugins.DINOHead', in_channels=384))
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        criterion: Optional[dict] = None,
        momentum: float = 0.996,
        num_global: int = 2,
        bn_per_view: bool = False,
        neck: Optional[dict] = None,
        data_preprocessor: Optional[dict] = None,
        pretrained: Optional[str] = None,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(
            backbone,
            neck,
            head,
            pretrained=pretrained,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg,
        )
        if num_global < 1:
            raise ValueError(f'num_global must be at least 1, got {num_global}')
        criterion = dict(criterion or {})
        criterion.setdefault('type', 'mssl_plugins.DINOLoss')
        criterion.setdefault('out_channels', self.head.out_channels)
        self.criterion = MODELS.build(criterion)
        if len(self.criterion.center) != self.head.out_channels:
            raise ValueError(
                f'the head has {self.head.out_channels} prototypes, the criterion '
                f'{len(self.criterion.center)}: leave out its out_channels'
            )
        self.num_global = num_global
        student = Encoder(self.backbone, self.head, bn_per_view)
        self._student = (student,)  # no child module: its parts are ours already
        self.teacher = MomentumTeacher(student, momentum)
        for module in self.teacher.modules():
            if type(module).__name__ == 'DropPath':
                module.drop_prob = 0.0

    @property
    def student(self) -> Encoder:
        """Backbone and head of the student."""
        return self._student[0]

    @property
    def patch_size(self) -> Optional[int]:
        """Side of a patch in px; None where the backbone has no ``patch_size``."""
        return getattr(self.backbone, 'patch_size', None)

    def backbone_kwargs(
        self, data_samples: Optional[list], view: int, required: bool = True
    ) -> dict:
        """What the backbone takes of a view besides the image, in both branches.

        The one place to override for networks that take more than images.

        Args:
            data_samples (list, optional): The batch's data samples.
            view (int): Index of the view.
            required (bool): Raise where it is missing; False where features
                are measured. Defaults to True.

        Returns:
            dict: Arguments of ``forward`` and ``forward_tokens``.
        """
        return {}

    def check_views(self, inputs: Sequence[Tensor]) -> List[Tensor]:
        """Returns the views if there are enough of them and patches tile them.

        Raises:
            ValueError: Otherwise.
        """
        if isinstance(inputs, Tensor) or len(inputs) < self.num_global:
            given = 'a single tensor' if isinstance(inputs, Tensor) else f'{len(inputs)} views'
            raise ValueError(
                f'{type(self).__name__} takes a list of at least '
                f'{self.num_global} views, global ones first, got {given}'
            )
        patch = self.patch_size
        for i, view in enumerate(inputs):
            if patch and (view.shape[2] % patch or view.shape[3] % patch):
                raise ValueError(
                    f'view {i} of {view.shape[2]} x {view.shape[3]} px is not divisible by the '
                    f'patch size {patch}: use sizes such as '
                    f'{max(patch, view.shape[2] // patch * patch)}'
                )
        return list(inputs)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: Optional[list] = None, **kwargs
    ) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (Sequence[Tensor]): V views (B, 3, S, S), global ones
                first; local ones may have another S.
            data_samples (list, optional): Passed to :meth:`backbone_kwargs`.
            **kwargs: Not used.

        Returns:
            Dict[str, Tensor]: ``loss_dino``.

        Raises:
            ValueError: Too few views, or sizes that patches do not tile.
        """
        views, n = self.check_views(inputs), self.num_global
        extras = [self.backbone_kwargs(data_samples, i) for i in range(len(views))]
        teacher = self.teacher(views[:n], extras[:n], stat_views=n)  # logits (n, B, K)
        student = self.student(views, extras, stat_views=n)  # logits (V, B, K)
        return dict(loss_dino=self.dino_loss(student.logits, teacher.logits))

    def dino_loss(self, student: Tensor, teacher: Tensor) -> Tensor:
        """DINO's loss of logits (V, B, K) and (n, B, K); afterwards the center is updated."""
        loss = self.criterion(student, teacher)
        if self.training:
            self.criterion.update(teacher)
        return loss
