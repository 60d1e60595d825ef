"""DINO: Emerging Properties in Self-Supervised Vision Transformers.

arXiv 2104.14294, sections 3.1 and 3.2, Algorithm 1 and appendix C.
"""
from contextlib import nullcontext
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmpretrain.models import BaseSelfSupervisor
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mssl_plugins.models.heads.dino_head import untracked
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.registry import MODELS


class Encoded(NamedTuple):
    """What a network makes of V views of B images.

    Attributes:
        logits (Tensor, optional): Of the head, (V, B, K).
        tokens (List[Tensor]): Normed [CLS] and patch tokens of each view,
            (B, 1 + L, C); None without patch tokens.
        attention (List[Tensor]): Of [CLS] to the patches in the last block,
            (B, L), mean over heads, float32; None if not asked for.
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

    def forward(self,
                views: Sequence[Tensor],
                contexts: Sequence[dict],
                tracked: int,
                attention: bool = False,
                logits: bool = True) -> Encoded:
        """Every view in as few passes as sizes allow, the head in one.

        Args:
            views (Sequence[Tensor]): V views, (B, 3, S, S), each of its S.
            contexts (Sequence[dict]): V dicts of further arguments of
                ``backbone.forward_tokens``: tensors (B, ...), or what holds
                for a whole pass.
            tracked (int): How many views, from the first, may move
                BatchNorm's running statistics under ``bn_per_view``.
            attention (bool): Return attention. Defaults to False.
            logits (bool): Return logits. Defaults to True.
        """
        features, tokens, maps = [], [], []
        for start, stop in self.groups(views, contexts):
            x = torch.cat(list(views[start:stop]))
            context = {key: torch.cat([c[key] for c in contexts[start:stop]])
                       if isinstance(value, Tensor) else value
                       for key, value in contexts[start].items()}
            quiet = self.apart and start >= tracked
            with untracked(self.backbone) if quiet else nullcontext():
                feature, token, weights = self.encode(x, context, attention)
            features.append(feature)
            tokens += [None] * (stop - start) if token is None else token.chunk(stop - start)
            maps += [None] * (stop - start) if weights is None else weights.chunk(stop - start)
        z = None
        if logits:
            parts = (len(views), tracked) if self.bn_per_view else ()
            z = self.head(torch.cat(features), *parts)  # (V * B, K)
            z = z.unflatten(0, (len(views), -1))
        return Encoded(z, tokens, maps)

    def groups(self, views: Sequence[Tensor],
               contexts: Sequence[dict]) -> List[Tuple[int, int]]:
        """Runs of views that share a pass, as (first, last + 1)."""
        edges = [i for i in range(1, len(views))
                 if self.apart or views[i].shape != views[i - 1].shape
                 or contexts[i].keys() != contexts[i - 1].keys()]
        return list(zip([0, *edges], [*edges, len(views)]))

    def encode(self, x: Tensor, context: dict,
               attention: bool) -> Tuple[Tensor, Optional[Tensor], Optional[Tensor]]:
        """(N, 3, S, S) -> features (N, C), tokens (N, 1 + L, C), attention (N, L)."""
        if not hasattr(self.backbone, 'forward_tokens'):
            if context or attention:
                raise TypeError(
                    f'{type(self.backbone).__name__} takes no masks or vectors and shows no '
                    "attention: use backbone=dict(type='mssl_plugins.ViT', ...)")
            out = self.backbone(x)
            out = out[-1] if isinstance(out, (tuple, list)) else out
            return (out.mean((2, 3)) if out.dim() == 4 else out), None, None
        if not attention:
            tokens = self.backbone.forward_tokens(x, **context)
            return tokens[:, 0], tokens, None
        tokens, weights = self.backbone.forward_tokens(x, return_attention=True, **context)
        return tokens[:, 0], tokens, upcast(weights).mean(1)


@MODELS.register_module()
class DINO(BaseSelfSupervisor):
    """DINO: multi-crop self-distillation with a momentum teacher.

    The first ``num_global`` views go to student and teacher, the others
    (local crops) to the student; each teacher view is the target of every
    other student view.  ``mssl_plugins.TeacherHook`` moves the teacher,
    ``mssl_plugins.ScheduleHook`` its momentum (``teacher.momentum``), its
    temperature (``criterion.teacher_temp``) and the weight decay,
    ``mssl_plugins.FreezeHook`` holds ``head.last_layer`` for an epoch and
    ``mssl_plugins.ClipEachHook`` clips.

    Args:
        backbone (dict): ``mssl_plugins.ViT``, or any backbone of mmpretrain.
            Its drop path is for the student only.
        head (dict): Config of ``mssl_plugins.DINOHead``.
        criterion (dict, optional): Arguments of ``mssl_plugins.DINOLoss``.
            Defaults to None.
        momentum (float): m of the teacher at the start. Defaults to 0.996.
        num_global (int): Number of global views. Defaults to 2.
        bn_per_view (bool): Normalise each view by its own images in
            BatchNorm layers, and let only global views move the running
            statistics (MST). Backbones with BatchNorm then take each view in
            a pass of its own. Defaults to False, DINO's: same-size views
            share statistics in the backbone, all views in the head.
        neck (dict, optional): Not used by DINO itself. Defaults to None.
        data_preprocessor (dict, optional): Defaults to
            ``dict(type='mssl_plugins.ViewPreprocessor')``.
        pretrained (str, optional): Checkpoint of the whole model.
        init_cfg (dict | list, optional): Defaults to None.

    Raises:
        ValueError: If head and criterion differ in the number of prototypes,
            or ``num_global`` is below 1.

    Note:
        With gradient accumulation the centre moves once a forward pass, the
        teacher once an optimiser step.

    Example:
        >>> dict(
        >>>     type='mssl_plugins.DINO',
        >>>     backbone=dict(type='mssl_plugins.ViT', arch='deit-s', drop_path_rate=0.1),
        >>>     head=dict(type='mssl_plugins.DINOHead', in_channels=384))
    """

    def __init__(self,
                 backbone: dict,
                 head: dict,
                 criterion: Optional[dict] = None,
                 momentum: float = 0.996,
                 num_global: int = 2,
                 bn_per_view: bool = False,
                 neck: Optional[dict] = None,
                 data_preprocessor: Optional[dict] = None,
                 pretrained: Optional[str] = None,
                 init_cfg: Optional[dict] = None) -> None:
        if not isinstance(data_preprocessor, nn.Module):
            data_preprocessor = dict(data_preprocessor or {})
            data_preprocessor.setdefault('type', 'mssl_plugins.ViewPreprocessor')
        super().__init__(backbone, neck, head, pretrained=pretrained,
                         data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if num_global < 1:
            raise ValueError(f'num_global must be at least 1, got {num_global}')
        criterion = dict(criterion or {})
        criterion.setdefault('type', 'mssl_plugins.DINOLoss')
        criterion.setdefault('out_channels', self.head.out_channels)
        self.criterion = MODELS.build(criterion)
        if len(self.criterion.centre) != self.head.out_channels:
            raise ValueError(f'the head has {self.head.out_channels} prototypes, the criterion '
                             f'{len(self.criterion.centre)}: leave out its out_channels')
        self.num_global = num_global
        student = Encoder(self.backbone, self.head, bn_per_view)
        self._student = (student, )  # no child module: its parts are ours already
        self.teacher = MomentumTeacher(student, momentum)
        for module in self.teacher.modules():
            if type(module).__name__ == 'DropPath':
                module.drop_prob = 0.

    @property
    def student(self) -> Encoder:
        """Backbone and head of the student."""
        return self._student[0]

    @property
    def patch_size(self) -> Optional[int]:
        """Side of a patch in px; None for convolutional backbones."""
        embed = getattr(self.backbone, 'patch_embed', None)
        return None if embed is None else embed.projection.kernel_size[0]

    def vectors(self, data_samples: Optional[list], view: int) -> Optional[Tensor]:
        """Mask token vectors (B, L, K) of a view, for student and teacher.

        The place to override for networks that take more than the picture.

        Args:
            data_samples (list, optional): Of the batch.
            view (int): Index of the view.
        """
        return None

    def contexts(self, data_samples: Optional[list], count: int) -> List[dict]:
        """Further arguments of ``forward_tokens``, a dict for each view."""
        vectors = [self.vectors(data_samples, view) for view in range(count)]
        return [{} if v is None else dict(vectors=v) for v in vectors]

    def check(self, inputs: Sequence[Tensor]) -> List[Tensor]:
        """The views, if there are enough and patches tile them.

        Raises:
            ValueError: If not.
        """
        if isinstance(inputs, Tensor) or len(inputs) < self.num_global:
            given = 'a single tensor' if isinstance(inputs, Tensor) else f'{len(inputs)} views'
            raise ValueError(f'{type(self).__name__} takes a list of at least '
                             f'{self.num_global} views, global ones first, got {given}')
        patch = self.patch_size
        for i, view in enumerate(inputs):
            if patch and (view.shape[2] % patch or view.shape[3] % patch):
                raise ValueError(
                    f'view {i} of {view.shape[2]} x {view.shape[3]} px is not divisible by the '
                    f'patch size {patch}: use sizes such as '
                    f'{max(patch, view.shape[2] // patch * patch)}')
        return list(inputs)

    def loss(self, inputs: Sequence[Tensor], data_samples: Optional[list] = None,
             **kwargs) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (Sequence[Tensor]): V views (B, 3, S, S), global ones
                first; local ones may have another S.
            data_samples (list, optional): Passed to :meth:`vectors`.

        Returns:
            Dict[str, Tensor]: ``loss_dino``.

        Raises:
            ValueError: Too few views, or sizes that patches do not tile.
        """
        views = self.check(inputs)
        contexts = self.contexts(data_samples, len(views))
        n = self.num_global
        teacher = self.teacher(views[:n], contexts[:n], tracked=n)
        student = self.student(views, contexts, tracked=n)
        return dict(loss_dino=self.compare(student.logits, teacher.logits))

    def compare(self, student: Tensor, teacher: Tensor) -> Tensor:
        """DINO's loss of logits (V, B, K) and (T, B, K); then the centre moves."""
        loss = self.criterion(student, teacher)
        if self.training:
            self.criterion.update(teacher)
        return loss
