"""Mask-guided attention bias: "SAM Helps SSL", BMVC 2024. Phase 1.

Phase 1 trains f, a ViT that takes the image and its segments; phase 2
(``mask_guided_distill.py``) distills it into f_s, a plain ViT that takes the
image only (supplement, Fig. 1)::

    phase 1   DINO:  H(P_t(f_t(x, c)), P_s(f(x', c')))      supplement A.1, eq. 1-3
              MAE:   MSE(decoder(f(x_visible, c_visible)), x_masked)     A.2, eq. 5

c and c' say which fractions of each view's tokens its segments cover
(:func:`~mssl_plugins.models.layers.mask_bias.segment_coverage`; "mask token
vectors" in the paper), the bias is the ViT's (``mask_bias``).
"""

from typing import Optional

import torch
from torch import Tensor, nn

from mssl_plugins.models.layers.mask_bias import segment_coverage
from mssl_plugins.models.selfsup.asl import ASL
from mssl_plugins.models.selfsup.dino import DINO
from mssl_plugins.models.selfsup.ibot import IBOT
from mssl_plugins.models.selfsup.mae import MAE
from mssl_plugins.models.selfsup.mst import MST
from mssl_plugins.registry import MODELS


def view_coverage(
    data_samples: Optional[list], view: int, backbone: nn.Module, num_segments: int
) -> Tensor:
    """Segment coverage of a view of every sample.

    Args:
        data_samples (list): The batch's data samples with ``view_segments``, the label
            maps (S, S) of the views, from ``mssl_plugins.PackViews``.
        view (int): Index of the view.
        backbone (nn.Module): The ViT that is to take it.
        num_segments (int): K.

    Returns:
        Tensor: (B, L, K) float32 where the backbone is.

    Raises:
        ValueError: If segments are missing (how many, first names), or do not
            fit the patches.
    """
    how = (
        "put dict(type='mssl_plugins.LoadSegments', segments=FOLDER) before "
        'mssl_plugins.Views in the pipeline (there, allow_missing=True gives images without '
        'segments zero coverage)'
    )
    if not data_samples:
        raise ValueError(f'the attention bias needs segments, but there are no data samples: {how}')
    maps = [sample.get('view_segments') for sample in data_samples]
    bare = [i for i, m in enumerate(maps) if m is None or len(m) <= view]
    if bare:
        names = [str(data_samples[i].get('img_path', f'number {i}')) for i in bare[:3]]
        raise ValueError(
            f'{len(bare)} of {len(maps)} samples have no segments for view {view}, '
            f'the first: {", ".join(names)}; {how}'
        )
    segments = torch.stack([torch.as_tensor(m[view]) for m in maps])  # (B, S, S)
    return segment_coverage(
        segments.to(backbone.cls_token.device), backbone.patch_size, num_segments
    )


class MaskGuided:
    """Mixin: every view's segments guide the attention of the backbone.

    Comes before a method that passes :meth:`backbone_kwargs` to
    ``mssl_plugins.ViT``.

    Args:
        num_segments (int): K; the K largest segments of a view are used.
            Defaults to 32 (our choice).

    Raises:
        ValueError: If the backbone has no bias.
    """

    def __init__(self, *args, num_segments: int = 32, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if getattr(self.backbone, 'mask_bias', None) is None:
            raise ValueError(
                f'{type(self).__name__} guides the attention by a bias: use backbone=dict('
                "type='mssl_plugins.ViT', mask_bias=dict(positive=True, negative=False), ...)"
            )
        self.num_segments = num_segments

    def backbone_kwargs(
        self, data_samples: Optional[list], view: int, required: bool = True
    ) -> dict:
        """The coverage (B, L, K) of a view, see :func:`view_coverage`.

        When features are measured (``required=False``), the segments are
        passed if the test transform loads them; otherwise the network sees
        the image alone.
        """
        given = any(sample.get('view_segments') is not None for sample in data_samples or ())
        if not (required or given):
            return {}
        return dict(coverage=view_coverage(data_samples, view, self.backbone, self.num_segments))


@MODELS.register_module()
class MaskGuidedDINO(MaskGuided, DINO):
    """Phase 1 of DINO: student and teacher see the segments of their views.

    The teacher's a and b are averaged like all its parameters.
    ``mssl_plugins.FreezeHook`` on ``backbone.mask_bias`` keeps a and b at their
    initial values for the first 100 epochs (supplement A.1). With ``init=0``
    this is the plain ViT; above 0 the segments act from the start.

    Args:
        backbone (dict): ``mssl_plugins.ViT`` with ``mask_bias``:
            ``dict(positive=True)`` acts on pairs of tokens in one segment,
            ``dict(positive=False, negative=True)`` on pairs in two segments;
            ``init`` is the initial value of a and b.
        num_segments (int): K. Defaults to 32 (our choice).
        **kwargs: Arguments of :class:`DINO`.

    Raises:
        ValueError: If the backbone has no bias; while training, if segments
            are missing.

    Example:
        >>> dict(
        >>>     type='mssl_plugins.MaskGuidedDINO',
        >>>     backbone=dict(type='mssl_plugins.ViT', arch='deit-s', drop_path_rate=0.1,
        >>>                   weight_init='dino', mask_bias=dict(positive=True, init=0.)),
        >>>     head=dict(type='mssl_plugins.DINOHead', in_channels=384))
    """


@MODELS.register_module()
class MaskGuidedMST(MaskGuided, MST):
    """MST with the bias; ours, not the paper's. Takes the arguments of both."""


@MODELS.register_module()
class MaskGuidedIBOT(MaskGuided, IBOT):
    """iBOT with the bias; ours, not the paper's. Takes the arguments of both."""


@MODELS.register_module()
class MaskGuidedASL(MaskGuided, ASL):
    """ASL with the bias; ours, not the paper's. Takes the arguments of both."""


@MODELS.register_module()
class MaskGuidedMAE(MaskGuided, MAE):
    """Phase 1 of MAE: the encoder gets the coverage of its visible tokens.

    The decoder is MAE's. The bias is not frozen (supplement A.2).

    Args:
        backbone (dict): ``mssl_plugins.ViT`` with ``mask_bias``, as in
            :class:`MaskGuidedDINO`.
        num_segments (int): K. Defaults to 32 (our choice).
        **kwargs: Arguments of :class:`MAE`; ``mask_unit=2`` for ViT/8
            (supplement A.2).

    Raises:
        ValueError: If the backbone has no bias; while training, if segments
            are missing.
    """
