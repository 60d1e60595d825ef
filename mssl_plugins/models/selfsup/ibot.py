"""iBOT: Image BERT Pre-Training with Online Tokenizer.

arXiv 2111.07832, section 3 and Algorithm 1.
"""

from typing import Dict, Optional, Sequence

import torch
from torch import Tensor

from mssl_plugins.errors import unknown
from mssl_plugins.models.masking import MIM_STRATEGIES, generator, mim_mask
from mssl_plugins.models.selfsup.dino import DINO, Encoded
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class IBOT(DINO):
    """DINO whose student also predicts the teacher's output for masked patches.

    For n global views (local crops as in DINO, neither masked nor compared
    patch by patch)::

        z_t, p_t = head(teacher(x_i))               no gradient, unmasked
        z_s, p_s = head(student(x_i masked by m_i))
        loss = lambda1 DINO(z_s, z_t) + lambda2 mean_i sum_m CE(p_t, p_s) / |m_i|

    One head serves [CLS] and patches. Each has its own center and temperature
    (``criterion`` and ``patch_criterion``, warmed up by
    ``mssl_plugins.ScheduleHook``). The mask ratio of an image is one of
    ``ratios``, each equally likely, plus a uniform number within plus or minus
    its ``spread``. With ratio 0 for all images this is DINO, bit for bit.

    Args:
        backbone (dict): Config of ``mssl_plugins.ViT`` with
            ``mask_token=True``.
        head (dict): Config of ``mssl_plugins.DINOHead``, without BatchNorm.
        patch_criterion (dict, optional): Arguments of
            ``mssl_plugins.IBOTPatchLoss``. Defaults to None.
        ratios (Sequence[float]): Fractions of masked patches, in [0, 1]. Defaults
            to (0, 0.3).
        spread (Sequence[float]): One for each ratio. Defaults to (0, 0.2).
        strategy (str): See :func:`~mssl_plugins.models.masking.mim_mask`.
            Defaults to ``'block'``.
        lambda1 (float): Weight of the [CLS] loss. Defaults to 1.
        lambda2 (float): Weight of the patch loss. Defaults to 1.
        **kwargs: Those of :class:`DINO`.

    Attributes:
        mim (float): Factor of every ratio, for ``mssl_plugins.ScheduleHook``: a
            ``'step'`` from 0 to 1 starts masking later.

    Raises:
        ValueError: Unknown strategy, ratios outside [0, 1], no mask token, a
            head with BatchNorm, or negative weights.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict,
        patch_criterion: Optional[dict] = None,
        ratios: Sequence[float] = (0.0, 0.3),
        spread: Sequence[float] = (0.0, 0.2),
        strategy: str = 'block',
        lambda1: float = 1.0,
        lambda2: float = 1.0,
        **kwargs,
    ) -> None:
        super().__init__(backbone, head, **kwargs)
        if strategy not in MIM_STRATEGIES:
            raise unknown(strategy, MIM_STRATEGIES, 'mask strategy')
        if len(ratios) != len(spread) or not ratios:
            raise ValueError(
                f'ratios and spread must be as many, got {list(ratios)} and {list(spread)}'
            )
        for ratio, width in zip(ratios, spread):
            if not 0 <= width or not 0 <= ratio - width <= ratio + width <= 1:
                raise ValueError(
                    f'mask ratios must lie in [0, 1], got {ratio} plus or minus {width}'
                )
        if min(lambda1, lambda2) < 0:
            raise ValueError(f'lambda1 and lambda2 must be 0 or more, got {lambda1} and {lambda2}')
        self.masks = any(ratios) or any(spread)
        if self.masks and getattr(self.backbone, 'mask_token', None) is None:
            raise ValueError(
                "iBOT hides patches: use backbone=dict(type='mssl_plugins.ViT', mask_token=True)"
            )
        if any('BatchNorm' in type(module).__name__ for module in self.head.modules()):
            raise ValueError(
                "iBOT's head sees [CLS] and patches, whose statistics differ: use_bn=False"
            )
        patch_criterion = dict(patch_criterion or {})
        patch_criterion.setdefault('type', 'mssl_plugins.IBOTPatchLoss')
        self.patch_criterion = MODELS.build(
            dict(patch_criterion, out_channels=self.head.out_channels)
        )
        self.ratios, self.spread, self.strategy = list(ratios), list(spread), strategy
        self.lambda1, self.lambda2, self.mim = lambda1, lambda2, 1.0
        if not self.masks and getattr(self.backbone, 'mask_token', None) is not None:
            self.backbone.mask_token.requires_grad_(False)

    def loss(
        self, inputs: Sequence[Tensor], data_samples: Optional[list] = None, **kwargs
    ) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (Sequence[Tensor]): V views (B, 3, S, S), global ones first,
                of one S; local ones may have another.
            data_samples (list, optional): Passed to :meth:`backbone_kwargs`.
            **kwargs: Not used.

        Returns:
            Dict[str, Tensor]: ``loss_dino``; where there are masks
            ``loss_patch`` too, both weighted, and ``masked``, the fraction of
            masked patches.

        Raises:
            ValueError: Too few views, or sizes that patches do not tile.
        """
        if not self.masks:
            losses = super().loss(inputs, data_samples)
            return {name: self.lambda1 * value for name, value in losses.items()}
        n, views = self.num_global, self.check_views(inputs)
        extras = [self.backbone_kwargs(data_samples, i) for i in range(len(views))]
        by_attention = self.strategy.startswith('attention')
        teacher = self.teacher(views[:n], extras[:n], stat_views=n, attention=by_attention)
        mask = self.sample_mask(views[:n], teacher)  # (n * B, L)
        extras[:n] = [dict(extra, mask=m) for extra, m in zip(extras, mask.chunk(n))]
        student = self.student(views, extras, stat_views=n)  # logits (V, B, K)
        return dict(
            loss_dino=self.lambda1 * self.dino_loss(student.logits, teacher.logits),
            loss_patch=self.lambda2 * self.patch_loss(student, teacher, mask),
            masked=mask.float().mean(),
        )

    def sample_mask(self, views: Sequence[Tensor], teacher: Encoded) -> Tensor:
        """Masks of the global views (B, 3, S, S), view after view, (n * B, L) bool."""
        rng, images = generator(), len(views) * len(views[0])
        chosen = rng.integers(len(self.ratios), size=images)
        middle, width = (torch.tensor(x)[chosen].numpy() for x in (self.ratios, self.spread))
        ratios = self.mim * (middle + width * rng.uniform(-1, 1, images))
        grid = tuple(side // self.patch_size for side in views[0].shape[2:])
        attention = None if teacher.attention[0] is None else torch.cat(teacher.attention)
        return mim_mask(self.strategy, ratios.clip(0, 1).tolist(), grid, attention).to(
            views[0].device
        )

    def patch_loss(self, student: Encoded, teacher: Encoded, mask: Tensor) -> Tensor:
        """The loss of masked patches, mask (n * B, L); afterwards their center is updated."""
        n = self.num_global
        hidden = mask.flatten().nonzero().flatten()  # (M,)
        count = mask.sum(1, keepdim=True).clamp_min(1)  # an image counts once, whatever its ratio
        share = mask.double() / (count * len(mask))
        seen = torch.cat(teacher.tokens)[:, 1:].flatten(0, 1)  # (n * B * L, C)
        tokens = torch.cat(student.tokens[:n])[:, 1:].flatten(0, 1)
        with torch.no_grad():
            head = self.teacher.module.head
            vectors = head.vectors(seen)
            target = head.last_layer(vectors[hidden])
            # the prototypes are linear: the mean of all logits is that of the mean vector
            mean = head.last_layer(vectors.mean(0, keepdim=True))
        loss = self.patch_criterion(self.head(tokens[hidden]), target, share.flatten()[hidden])
        if self.training:
            self.patch_criterion.update(mean)
        return loss
