"""Mask-guided attention bias: "SAM Helps SSL", BMVC 2024. Phase 2.

A network of phase 1 (``mask_guided.py``), f, is distilled into f_s, a plain
ViT that takes the image only (supplement, Fig. 1)::

    DINO:  H(P_t(f(x, c)), P_s(f_s(x'))), P_t without center   A.1, eq. 4
    MAE:   1 - cos(f_s(x), f(x, c)), our choice

c says which fractions of the view's tokens its segments cover
(:func:`~mssl_plugins.models.layers.mask_bias.segment_coverage`).
"""

from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mssl_plugins.checkpoints.compare import compare
from mssl_plugins.checkpoints.loading import load_checkpoint_safely
from mssl_plugins.errors import unknown
from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.selfsup.base import SelfSupervisor
from mssl_plugins.models.selfsup.dino import DINO, Encoder
from mssl_plugins.models.selfsup.mask_guided import view_coverage
from mssl_plugins.registry import MODELS

#: where a phase-1 checkpoint keeps the network of each branch
BRANCHES = dict(teacher='teacher.module.', student='')


class FrozenTeacher(nn.Module):
    """A frozen phase-1 network, loaded from its checkpoint.

    Args:
        network (Encoder): The network that gets the weights; it has no gradient
            and stays in evaluation mode.
        checkpoint (str): Checkpoint of phase 1, read by :meth:`load`.
        branch (str): ``'teacher'``, the momentum network, or ``'student'``.

    Raises:
        ValueError: Unknown branch.
    """

    def __init__(self, network: Encoder, checkpoint: Union[str, Path], branch: str) -> None:
        super().__init__()
        if branch not in BRANCHES:
            raise unknown(branch, BRANCHES, 'branch of the phase-1 network')
        self.module = network.requires_grad_(False)
        self.checkpoint, self.branch, self.loaded = str(checkpoint), branch, False
        self.train(False)

    def train(self, mode: bool = True) -> 'FrozenTeacher':
        """Stays in evaluation mode."""
        return super().train(False)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        own = self.module.state_dict()
        self.loaded |= all(f'{prefix}module.{key}' in state_dict for key in own)

    def load(self) -> None:
        """Reads the weights of the phase-1 network.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is unreadable, holds no such network, no bias,
                or one of other patches or another architecture.
        """
        own, prefix = self.module.state_dict(), BRANCHES[self.branch]
        weights = load_checkpoint_safely(self.checkpoint)
        weights = weights.get('state_dict', weights)
        parts = tuple(f'{prefix}{part}.' for part in {key.split('.')[0] for key in own})
        found = {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(parts)}
        where = f'the phase-1 checkpoint {self.checkpoint}'
        if not found:
            raise ValueError(
                f'{where} holds no {self.branch} network, no key begins with '
                f"'{prefix}backbone.'; its keys are {', '.join(list(weights)[:3])}, "
                '... (teacher.branch chooses the other network)'
            )
        if not any(k.startswith('backbone.mask_bias.') for k in found):
            raise ValueError(
                f'{where} holds no attention bias: phase 2 distills a network that '
                'mssl_plugins.MaskGuidedDINO or MaskGuidedMAE has trained'
            )
        key = 'backbone.patch_embed.projection.weight'
        if key in found and found[key].shape[-1] != own[key].shape[-1]:
            raise ValueError(
                f'{where} has patches of {found[key].shape[-1]} px, the teacher of '
                f'this config {own[key].shape[-1]} px: set '
                f'teacher.backbone.patch_size={found[key].shape[-1]}'
            )
        report = compare(own, found, ['backbone.pos_embed'])  # resized while loading
        if report.differences():
            raise ValueError(
                f'{where} is of another architecture than the teacher of this '
                f'config; {"; ".join(report.differences())}: describe it in '
                'teacher.backbone (mask_bias included) and teacher.head'
            )
        self.module.load_state_dict(found)
        self.loaded = True

    @torch.no_grad()
    def forward(self, *args, **kwargs):
        """The network's output, without gradient.

        Raises:
            ValueError: If the weights have not been loaded.
        """
        if not self.loaded:
            raise ValueError(
                f'the phase-1 network of {self.checkpoint} has not been loaded: '
                'call init_weights() of the model, as training does'
            )
        return self.module(*args, **kwargs)


def phase1_teacher(
    teacher: dict, backbone: dict, head: Optional[dict], branch: str
) -> FrozenTeacher:
    """The teacher of phase 2 as the config describes it.

    Args:
        teacher (dict): ``checkpoint``, ``branch``, and in ``backbone`` and
            ``head`` the arguments that differ from the student's.
        backbone (dict): Config of the student's backbone.
        head (dict, optional): Config of the student's head.
        branch (str): Used if ``teacher`` names none.

    Returns:
        FrozenTeacher: Not loaded yet.

    Raises:
        ValueError: If ``teacher`` has an unknown key, or names no checkpoint.
    """
    teacher = {k: v for k, v in teacher.items() if k != '_scope_'}
    for key in teacher:
        if key not in ('checkpoint', 'branch', 'backbone', 'head'):
            raise unknown(key, ('checkpoint', 'branch', 'backbone', 'head'), 'key of teacher')
    if not teacher.get('checkpoint'):
        raise ValueError(
            "phase 2 distills a trained network: give teacher=dict(checkpoint='PHASE1.pth')"
        )
    bias = dict(mask_bias=dict(positive=True))
    backbone = MODELS.build({**backbone, **bias, **teacher.get('backbone', {})})
    head = nn.Identity() if head is None else MODELS.build({**head, **teacher.get('head', {})})
    return FrozenTeacher(
        Encoder(backbone, head, False), teacher['checkpoint'], teacher.get('branch', branch)
    )


def check_plain(backbone: nn.Module) -> None:
    """Refuses a student of phase 2 that is not a plain ``mssl_plugins.ViT``.

    Raises:
        ValueError: If it is another network, or has a bias.
    """
    if not hasattr(backbone, 'mask_bias') or backbone.mask_bias is not None:
        raise ValueError(
            'the student of phase 2 is a plain mssl_plugins.ViT: its mask_bias must '
            f'be None (that of the teacher stands in teacher.backbone), got '
            f'{type(backbone).__name__}'
        )


@MODELS.register_module()
class MaskGuidedDINODistill(DINO):
    """Phase 2 of DINO: a plain ViT learns the phase-1 network's output.

    The teacher sees the global views with their segments, the student all
    views and no segments; as in phase 1, each teacher view is the target of
    every other student view.  There is no center (eq. 4), and the teacher is
    frozen.

    Args:
        backbone (dict): Config of the student, a plain ``mssl_plugins.ViT``.
        head (dict): Config of the student's ``mssl_plugins.DINOHead``.
        teacher (dict): ``checkpoint``, a file of phase 1; ``branch``,
            ``'teacher'`` (the momentum network, which DINO evaluates; our
            choice) or ``'student'``; ``backbone`` and ``head``, what of their
            configs differs from the student's, for example
            ``dict(mask_bias=dict(positive=False, negative=True))``; a bias
            with the positive relation needs no mention.
        num_segments (int): K. Defaults to 32 (our choice).
        **kwargs: Arguments of :class:`DINO`. Of ``criterion``, the teacher's
            temperature stays phase 1's (supplement A.1: "the same settings";
            eq. 4 read literally would give it the student's); ``momentum``
            has no effect.

    Raises:
        ValueError: If the student has a bias, or no checkpoint is named; from
            ``init_weights``, if the checkpoint does not fit.
        FileNotFoundError: From ``init_weights``.
    """

    def __init__(
        self, backbone: dict, head: dict, teacher: dict, num_segments: int = 32, **kwargs
    ) -> None:
        frozen = phase1_teacher(teacher, backbone, head, 'teacher')
        super().__init__(backbone, head, **kwargs)
        check_plain(self.backbone)
        self.teacher = frozen
        self.num_segments = num_segments
        # eq. 4 has no center: it stays zero, and no checkpoint brings one
        self.criterion.register_buffer(
            'center', torch.zeros_like(self.criterion.center), persistent=False
        )

    def init_weights(self) -> None:
        """Initialize the student, read the teacher."""
        super().init_weights()
        self.teacher.load()

    def loss(
        self, inputs: Sequence[Tensor], data_samples: Optional[list] = None, **kwargs
    ) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (Sequence[Tensor]): V views (B, 3, S, S), global ones
                first; local ones may have another S.
            data_samples (list): With ``view_segments`` of the global views.
            **kwargs: Not used.

        Returns:
            Dict[str, Tensor]: ``loss_distill``.

        Raises:
            ValueError: Too few views, sizes that patches do not tile, missing
                segments.
        """
        views, n = self.check_views(inputs), self.num_global
        vit = self.teacher.module.backbone
        guided = [
            dict(coverage=view_coverage(data_samples, i, vit, self.num_segments)) for i in range(n)
        ]
        teacher = self.teacher(views[:n], guided, stat_views=n)  # logits (n, B, K)
        student = self.student(views, [{}] * len(views), stat_views=n)  # logits (V, B, K)
        return dict(loss_distill=self.criterion(student.logits, teacher.logits))


@MODELS.register_module()
class MaskGuidedMAEDistill(SelfSupervisor):
    """Phase 2 of MAE, our choice: a plain ViT learns the guided features.

    The paper's phase 2 of MAE is unknown.  Here student and teacher see the
    whole image, unmasked, and the loss is the mean over [CLS] and patches
    of one minus the cosine of their final tokens.

    Args:
        backbone (dict): Config of the student, a plain ``mssl_plugins.ViT``.
        teacher (dict): As in :class:`MaskGuidedDINODistill`, ``branch``
            defaulting to ``'student'``, the only network of MAE.
        num_segments (int): K. Defaults to 32 (our choice).
        data_preprocessor (dict, optional): Defaults to
            ``dict(type='mssl_plugins.ViewPreprocessor')``.
        pretrained (str, optional): Checkpoint of the whole model.
        init_cfg (dict | list, optional): Defaults to None.

    Raises:
        ValueError: As in :class:`MaskGuidedDINODistill`; if the networks
            differ in their patches or in the width of their tokens.
        FileNotFoundError: From ``init_weights``.
    """

    def __init__(
        self,
        backbone: dict,
        teacher: dict,
        num_segments: int = 32,
        data_preprocessor: Optional[dict] = None,
        pretrained: Optional[str] = None,
        init_cfg: Union[dict, List[dict], None] = None,
    ) -> None:
        frozen = phase1_teacher(teacher, backbone, None, 'student')
        super().__init__(
            backbone, pretrained=pretrained, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        check_plain(self.backbone)
        self.teacher = frozen
        self.num_segments = num_segments
        (patch, width), given = (
            (vit.patch_size, vit.embed_dims) for vit in (self.backbone, frozen.module.backbone)
        )
        if (patch, width) != given:
            raise ValueError(
                f'tokens are compared one by one: the student has patches of {patch} px and '
                f'width {width}, the teacher {given[0]} px and {given[1]}'
            )

    def init_weights(self) -> None:
        """Initialize the student, read the teacher."""
        super().init_weights()
        self.teacher.load()

    def loss(
        self, inputs: Union[Tensor, Sequence[Tensor]], data_samples: Optional[list] = None, **kwargs
    ) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (Tensor | Sequence[Tensor]): One view, (B, 3, H, W).
            data_samples (list): With ``view_segments``.
            **kwargs: Not used.

        Returns:
            Dict[str, Tensor]: ``loss_distill``, in [0, 2].

        Raises:
            ValueError: If there is not exactly one view, or segments are
                missing.
        """
        if not isinstance(inputs, Tensor):
            if len(inputs) != 1:
                raise ValueError(f'{type(self).__name__} takes 1 view, got {len(inputs)}')
            inputs = inputs[0]
        vit = self.teacher.module.backbone
        guided = dict(coverage=view_coverage(data_samples, 0, vit, self.num_segments))
        # (B, 1 + L, C) each
        target = self.teacher([inputs], [guided], stat_views=1, logits=False).tokens[0]
        tokens = self.backbone.forward_tokens(inputs)
        with torch.autocast(inputs.device.type, enabled=False):
            cosine = F.cosine_similarity(upcast(tokens), upcast(target), dim=-1)
        return dict(loss_distill=1 - cosine.mean())
