"""Segments as a bias of a ViT's self-attention.

Mask-guided attention bias ("SAM helps SSL"), our definition.  Token i has the
vector c_i (the paper's mask token vector): the fractions of it that the K
largest segments cover.  s_i = sum_k c_ik.  Layer l, head h adds
``a <c_i, c_j> + b (s_i s_j - <c_i, c_j>)`` to its logits: a for two tokens of
one segment (positive relation), b for two segments (negative relation).
"""

from typing import Dict, Optional, Tuple, Union

import torch
from torch import Tensor, nn

from mssl_plugins.errors import unknown
from mssl_plugins.models.layers.attention import LowRankBias


@torch.no_grad()
def segment_coverage(
    segments: Tensor, patch: Union[int, Tuple[int, int]], num_segments: int = 32
) -> Tensor:
    """Fraction of each token that each of the largest segments covers.

    Segments are numbered anew for every image, by area within it (equal
    areas: the smaller label first); those after the first ``num_segments``
    count as none.

    Args:
        segments (Tensor): (B, H, W) label maps of any integer type, 0 = no
            segment. Labels are positive and need not be consecutive.
        patch (int | Tuple[int, int]): Pixels a side of a token, (height,
            width).
        num_segments (int): K. Defaults to 32.

    Returns:
        Tensor: (B, L, K) float32 in [0, 1] with sum over k at most 1, tokens
        in row-major order, on the device of ``segments``.

    Raises:
        TypeError: If ``segments`` holds no integers.
        ValueError: If it is no (B, H, W), has negative labels, or H or W is
            no multiple of the patch.
    """
    if segments.is_floating_point() or segments.dtype == torch.bool:
        raise TypeError(f'segments must be an integer label map, got {segments.dtype}')
    if segments.ndim != 3:
        raise ValueError(f'segments must have shape (B, H, W), got {tuple(segments.shape)}')
    if num_segments < 1:
        raise ValueError(f'num_segments must be at least 1, got {num_segments}')
    (b, h, w), device = segments.shape, segments.device
    ph, pw = (patch, patch) if isinstance(patch, int) else patch
    if h % ph or w % pw:
        raise ValueError(f'segments of {h} x {w} px cannot be cut into patches of {ph} x {pw}')
    labels = segments.reshape(b, h * w).long()
    if labels.numel() and labels.min() < 0:
        raise ValueError(f'labels must be 0 (none) or positive, got {int(labels.min())}')
    if labels.numel() and labels.max() > h * w:  # keep the table of areas small
        labels = torch.cat([labels.new_zeros(1), labels.flatten()])
        labels = labels.unique(return_inverse=True)[1][1:].view(b, h * w)
    size = int(labels.max()) + 1 if labels.numel() else 1
    # counted in int32 by flat places, for speed
    image = torch.arange(b, device=device, dtype=torch.int32)[:, None]
    place = (labels.int() + image * size).flatten()  # of each pixel in the table of areas
    area = torch.bincount(place, minlength=b * size).view(b, size)
    area[:, 0] = 0
    order = area.sort(dim=1, descending=True, stable=True).indices[:, :num_segments]  # (B, <=K)
    # column of each label; the last one collects what belongs to no segment
    column = torch.full_like(area, num_segments, dtype=torch.int32)
    ranks = torch.arange(order.shape[1], device=device, dtype=torch.int32)
    column.scatter_(1, order, ranks.expand_as(order))
    column[:, 0] = num_segments
    rows, columns, width = h // ph, w // pw, num_segments + 1
    column += image * (rows * columns * width)
    token = (
        torch.arange(h, device=device, dtype=torch.int32)[:, None] // ph * columns
        + torch.arange(w, device=device, dtype=torch.int32) // pw
    ).flatten()
    cell = column.flatten().index_select(0, place).view(b, h * w) + token * width
    pixels = torch.bincount(cell.flatten(), minlength=b * rows * columns * width)
    return pixels.view(b, rows * columns, width)[..., :num_segments].float() / (ph * pw)


# What a config may say of a MaskBias: its types by argument.
OPTIONS = dict(positive=bool, negative=bool, init=Union[float, dict])


class MaskBias(nn.Module):
    """The learnable strengths a and b, one per layer and head.

    Keys are ``a.<layer>`` and ``b.<layer>``. They are one-dimensional, so the
    usual rule excludes them from weight decay.

    Args:
        num_layers (int): Layers of the network.
        num_heads (int): Heads of a layer.
        positive (bool): Have a. Defaults to True.
        negative (bool): Have b. Defaults to False.
        init (float | Dict[str, float]): Initial value of every a and b, or
            ``dict(positive=..., negative=...)``. The paper does not print it.
            Defaults to 0, our choice: as long as the bias is frozen, the
            network is exactly the plain ViT. With a value above 0, such as 2,
            a bias that is frozen at first acts from the start.

    Raises:
        ValueError: If both are off, or ``init`` names a relation that is off.
    """

    def __init__(
        self,
        num_layers: int,
        num_heads: int,
        positive: bool = True,
        negative: bool = False,
        init: Union[float, Dict[str, float]] = 0.0,
    ) -> None:
        super().__init__()
        if not (positive or negative):
            raise ValueError(
                'mask_bias with positive=False and negative=False is no bias: '
                'switch one on, or give mask_bias=None'
            )
        self.num_layers = num_layers
        relations = [
            name for name, used in (('positive', positive), ('negative', negative)) if used
        ]
        start = dict(init) if isinstance(init, dict) else dict.fromkeys(relations, init)
        start.pop('_scope_', None)  # mmengine's mark on dicts of inherited configs
        for name in start:
            if name not in relations:
                raise unknown(name, relations, 'relation in the init of mask_bias')

        def strengths(relation: str) -> Optional[nn.ParameterList]:
            if relation not in relations:
                return None
            return nn.ParameterList(
                nn.Parameter(torch.full((num_heads,), float(start.get(relation, 0.0))))
                for _ in range(num_layers)
            )

        self.a, self.b = strengths('positive'), strengths('negative')

    def is_zero(self) -> bool:
        """Whether every a and b is exactly 0."""
        return not torch.cat(list(self.parameters())).any()

    def forward(self, coverage: Tensor) -> Tuple[LowRankBias, ...]:
        """The bias of each layer in low-rank form.

        Args:
            coverage (Tensor): (B, N, K) from :func:`segment_coverage`, zero
                for the class token.

        Returns:
            Tuple[LowRankBias]: One per layer, with E = K, or K + 1 if there
            is b. ``LowRankBias.matrix()`` writes it out as (B, heads, N, N).
        """
        zero, k, vectors = self.is_zero(), coverage.shape[-1], coverage
        if self.b is not None:
            vectors = torch.cat([coverage, coverage.sum(-1, keepdim=True)], -1)  # (B, N, K + 1)
        biases = []
        for layer in range(self.num_layers):
            if self.b is None:
                coefficients = self.a[layer][:, None].expand(-1, k)
            else:
                b = self.b[layer]
                same = -b if self.a is None else self.a[layer] - b
                coefficients = torch.cat([same[:, None].expand(-1, k), b[:, None]], 1)
            biases.append(LowRankBias(coefficients, vectors, zero))
        return tuple(biases)
