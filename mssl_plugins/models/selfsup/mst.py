"""MST: Masked Self-Supervised Transformer for Visual Representation.

NeurIPS 2021, arXiv 2106.05656; supplement, Algorithm 1 and sections 3, 7-11.
"""

from functools import partial
from typing import Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mssl_plugins.errors import unknown
from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.losses.l1_reconstruction import REDUCTIONS, l1_reconstruction_loss
from mssl_plugins.models.masking import check_strategy, token_mask
from mssl_plugins.models.replacement import bert_replacement
from mssl_plugins.models.selfsup.dino import DINO, Encoded
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class MST(DINO):
    r"""DINO whose student sees masked global views and reconstructs them.

    For global views x1, x2 (local crops as in DINO, neither masked nor
    reconstructed)::

        z_ti, A_i = teacher(x_i)                      no gradient, unmasked
        z_si, R_i = student(x_i masked by A_i)
        loss = lambda1 DINO(z_s, z_t) + lambda2 mean_i L1(decoder(R_i), x_i)

    A is the attention of [CLS] to the patches in the last block, mean over
    heads (our choice).  Masks act after the patch projection; position
    embeddings are added afterwards.

    Args:
        backbone (dict): Config of ``mssl_plugins.ViT`` with
            ``mask_token=True``.
        head (dict): Config of ``mssl_plugins.DINOHead``, ``use_bn=True`` in
            the paper.
        neck (dict, optional): Config of ``mssl_plugins.PixelDecoder``; not
            needed at lambda2 = 0. Defaults to None.
        strategy (str): ``'attention_low'`` (the paper),
            ``'attention_high'``, ``'random'``, ``'block'`` or ``'none'``.
            Defaults to ``'attention_low'``.
        q (float): Fraction of eligible patches, see
            :func:`~mssl_plugins.models.masking.token_mask`. Defaults to 1 / 8
            (our choice).
        p (float): Probability of an eligible patch to be masked. Defaults to
            1 (our choice).
        replacement (str): ``'mask_token'`` (the paper) or ``'bert'`` (80 %
            mask token, 10 % random token of the batch, 10 % kept). Defaults
            to ``'mask_token'``.
        target (str): What is reconstructed: ``'image'`` (the paper) or
            ``'masked'``, the masked patches only. Defaults to ``'image'``.
        reduction (str): See
            :func:`~mssl_plugins.models.losses.l1_reconstruction.l1_reconstruction_loss`.
            Defaults to ``'pixel'``.
        lambda1 (float): Weight of DINO's loss. At 0 neither head nor local
            crops are used. Defaults to 1.
        lambda2 (float): Weight of the reconstruction. Defaults to 0.6.
        bn_per_view (bool): As in :class:`DINO`. Defaults to True, the paper's.
        **kwargs: ``criterion, momentum, num_global, data_preprocessor`` and
            others of :class:`DINO`.

    Raises:
        ValueError: Unknown names, q or p outside [0, 1], negative weights, a
            decoder of another patch size, or none where it is needed.
        TypeError: If the backbone cannot mask.

    Example:
        >>> dict(
        >>>     type='mssl_plugins.MST',
        >>>     backbone=dict(type='mssl_plugins.ViT', arch='deit-s', mask_token=True,
        >>>                   drop_path_rate=0.1, weight_init='dino'),
        >>>     neck=dict(type='mssl_plugins.PixelDecoder', in_channels=384),
        >>>     head=dict(type='mssl_plugins.DINOHead', in_channels=384, use_bn=True))
    """

    REPLACEMENTS = ('mask_token', 'bert')
    TARGETS = ('image', 'masked')

    def __init__(
        self,
        backbone: dict,
        head: dict,
        neck: Optional[dict] = None,
        strategy: str = 'attention_low',
        q: float = 1 / 8,
        p: float = 1.0,
        replacement: str = 'mask_token',
        target: str = 'image',
        reduction: str = 'pixel',
        lambda1: float = 1.0,
        lambda2: float = 0.6,
        bn_per_view: bool = True,
        **kwargs,
    ) -> None:
        check_strategy(strategy, q, p)
        for name, allowed, what in (
            (replacement, self.REPLACEMENTS, 'replacement'),
            (target, self.TARGETS, 'target'),
            (reduction, REDUCTIONS, 'reduction'),
        ):
            if name not in allowed:
                raise unknown(name, allowed, f'{what} of MST')
        if min(lambda1, lambda2) < 0 or lambda1 == lambda2 == 0:
            raise ValueError(
                f'lambda1 and lambda2 must not be negative nor both 0, got {lambda1} and {lambda2}'
            )
        super().__init__(backbone, head, neck=neck, bn_per_view=bn_per_view, **kwargs)
        masks = strategy != 'none' and p > 0
        if not hasattr(self.backbone, 'forward_tokens') or (
            masks and getattr(self.backbone, 'mask_token', None) is None
        ):
            raise TypeError(
                f'MST cannot mask {type(self.backbone).__name__}: use '
                "backbone=dict(type='mssl_plugins.ViT', mask_token=True, ...)"
            )
        if lambda2 and self.neck is None:
            raise ValueError(
                "reconstruction needs neck=dict(type='mssl_plugins.PixelDecoder', "
                'in_channels=...), or lambda2=0'
            )
        if self.neck is not None and self.neck.patch_size != self.patch_size:
            raise ValueError(
                f'the decoder has patches of {self.neck.patch_size} px, the '
                f"backbone has {self.patch_size} px: set the neck's patch_size"
            )
        # Data-parallel training waits for the gradient of every parameter that requires one.
        if not lambda1:
            self.head.requires_grad_(False)
        if not masks and getattr(self.backbone, 'mask_token', None) is not None:
            self.backbone.mask_token.requires_grad_(False)
        self.strategy, self.q, self.p, self.masks = strategy, q, p, masks
        self.replacement, self.target, self.reduction = replacement, target, reduction
        self.lambda1, self.lambda2 = lambda1, lambda2

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
            Dict[str, Tensor]: ``loss_dino`` and ``loss_reconstruct``,
            weighted (absent at weight 0), and ``masked``, the fraction of
            masked patches.

        Raises:
            ValueError: Too few views, sizes that patches do not tile, or a
                teacher with other patches.
        """
        n = self.num_global
        views = self.check_views(inputs)[: None if self.lambda1 else n]
        extras = [self.backbone_kwargs(data_samples, i) for i in range(len(views))]
        teacher, mask = self.sample_mask(views[:n], extras[:n])  # logits (n, B, K), mask (n * B, L)
        extras[:n] = self.masked(extras[:n], mask)
        student = self.student(views, extras, stat_views=n, logits=self.lambda1 > 0)  # (V, B, K)
        losses = dict(masked=mask.float().mean())
        if self.lambda1:
            losses['loss_dino'] = self.lambda1 * self.dino_loss(student.logits, teacher.logits)
        if self.lambda2:
            losses['loss_reconstruct'] = self.lambda2 * self.reconstruction_loss(
                student.tokens, views[:n], mask.chunk(n)
            )
        return losses

    def reconstruction_loss(
        self, tokens: Sequence[Tensor], views: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> Tensor:
        """mean_i L1(decoder(R_i), x_i).

        Args:
            tokens (Sequence[Tensor]): R of the n global views, (B, 1 + L, C).
            views (Sequence[Tensor]): x, (B, 3, H, W).
            masks (Sequence[Tensor]): (B, L) bool.

        Returns:
            Tensor: A float32 scalar.
        """
        losses = []
        for r, x, m in zip(tokens, views, masks):
            where = self.pixels(m, x) if self.target == 'masked' else None  # (B, 1, H, W)
            losses.append(l1_reconstruction_loss(self.decode(r, x), x, where, self.reduction))
        return torch.stack(losses).mean()

    def sample_mask(
        self, views: Sequence[Tensor], extras: Sequence[dict]
    ) -> Tuple[Optional[Encoded], Tensor]:
        """The teacher's output and the masks of the global views.

        Args:
            views (Sequence[Tensor]): n views, (B, 3, H, W).
            extras (Sequence[dict]): n dicts for ``forward_tokens``.

        Returns:
            Tuple[Encoded | None, Tensor]: The teacher's output, None if it is
            not needed; the masks, (n * B, L) bool, view after view.

        Raises:
            ValueError: If the teacher's patches are of another size than the student's.
        """
        by_attention = self.masks and self.strategy.startswith('attention')
        teacher = None
        if by_attention or self.lambda1:
            teacher = self.teacher(
                views,
                extras,
                stat_views=len(views),
                attention=by_attention,
                logits=self.lambda1 > 0,
            )
        h, w = self.grid(views[0])
        if by_attention:
            attention = torch.cat(teacher.attention)  # (n * B, L)
            if attention.shape[1] != h * w:
                raise ValueError(
                    f"the teacher's attention has {attention.shape[1]} patches, the student's "
                    f'views have {h} x {w}: both need the same patch size'
                )
        else:
            attention = views[0].new_zeros(len(views) * len(views[0]), h * w)
        return teacher, token_mask(self.strategy, attention, self.q, self.p, grid=(h, w))

    def masked(self, extras: Sequence[dict], mask: Tensor) -> List[dict]:
        """Adds their masks (n * B, L) and the replacement to the n views' arguments."""
        if not self.masks:
            return list(extras)
        style = {}
        if self.replacement == 'bert':
            style['replacement'] = partial(bert_replacement, mask_token=self.backbone.mask_token)
        return [dict(extra, mask=m, **style) for extra, m in zip(extras, mask.chunk(len(extras)))]

    def grid(self, view: Tensor) -> Tuple[int, int]:
        """Rows and columns of patches of a view (B, 3, H, W)."""
        return view.shape[2] // self.patch_size, view.shape[3] // self.patch_size

    def decode(self, tokens: Tensor, view: Tensor) -> Tensor:
        """Decodes [CLS] and patch tokens (B, 1 + L, C) to a view (B, 3, H, W)."""
        return self.neck(tokens[:, 1:], self.grid(view))

    def pixels(self, mask: Tensor, view: Tensor) -> Tensor:
        """A token mask (B, L) as pixels of the view, (B, 1, H, W) bool."""
        cells = mask.unflatten(1, self.grid(view)).unsqueeze(1).to(torch.uint8)
        return F.interpolate(cells, size=view.shape[2:], mode='nearest').bool()

    @torch.no_grad()
    def reconstruct(self, inputs, data_samples: Optional[list] = None) -> Tuple[Tensor, Tensor]:
        """For figures: the first view reconstructed, and its mask.

        Args:
            inputs (Tensor | Sequence[Tensor]): A view (B, 3, H, W), or views
                of which the first is taken.
            data_samples (list, optional): Passed to :meth:`backbone_kwargs`.
                Defaults to None.

        Returns:
            Tuple[Tensor, Tensor]: (B, 3, H, W) in normalized units, and
            (B, 1, H, W) bool, ``True`` = masked.

        Raises:
            ValueError: If the model has no decoder.
        """
        view = inputs if isinstance(inputs, Tensor) else inputs[0]
        if self.neck is None:
            raise ValueError('this MST has no decoder: it was made with neck=None')
        extras = [self.backbone_kwargs(data_samples, 0)]
        _, mask = self.sample_mask([view], extras)
        student = self.student([view], self.masked(extras, mask), stat_views=1, logits=False)
        return upcast(self.decode(student.tokens[0], view)), self.pixels(mask, view)
