"""MaskCo: contrastive mask prediction.

Self-Supervised Visual Representations Learning by Contrastive Mask Prediction
(ICCV 2021, arXiv 2108.07954). Supplement, Algorithm 1 and section A.2::

    x_q, x_k, masked_box, key_boxes = transform(x)            mssl_plugins.MaskCoViews
    q = head_q(RoIAlign(net_q(mask(x_q)), masked_box))        N x 1 x D
    k = head_k(RoIAlign(net_k(x_k), key_boxes))               N x K x D, no gradient
    loss = CE([q.k_0, q.k_negative] / t, 0)

net is the backbone and MPH, the mask prediction head; net_k and head_k are
momentum copies.  What the supplement leaves open is an argument.
"""

from typing import Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou

from mssl_plugins.errors import unknown
from mssl_plugins.models.layers.shuffle import shuffled
from mssl_plugins.models.layers.split_bn import SplitBatchNorm2d
from mssl_plugins.models.masking import box_mask
from mssl_plugins.models.momentum import MomentumTeacher
from mssl_plugins.models.replacement import FILLS, fill_pixels
from mssl_plugins.models.selfsup.base import SelfSupervisor
from mssl_plugins.registry import MODELS


def feature_map(backbone: nn.Module, x: Tensor) -> Tensor:
    """The backbone's last map, (N, 3, H, W) -> (N, C, h, w).

    Raises:
        ValueError: If it gives no map.
    """
    out = backbone(x)
    maps = out[-1] if isinstance(out, (tuple, list)) else out
    if not isinstance(maps, Tensor) or maps.dim() != 4:
        raise ValueError(
            f'MaskCo needs a backbone that ends in a map (N, C, h, w); {type(backbone).__name__} '
            f'gives {tuple(getattr(maps, "shape", ()))}: a ViT of mmpretrain takes '
            "out_type='featmap'"
        )
    return maps


def region_vectors(
    backbone: nn.Module, mph: nn.Module, head: nn.Module, x: Tensor, boxes: Tensor
) -> Tensor:
    """head(RoIAlign(net(x), boxes)): (N, 3, H, W), (N, K, 4) -> (N, K, D)."""
    maps = mph((feature_map(backbone, x),))[-1]  # (N, C, h, w)
    return head(maps, boxes, maps.shape[-1] / x.shape[-1])


class KeyEncoder(nn.Module):
    """net_k and head_k, what the teacher copies."""

    def __init__(self, backbone: nn.Module, mph: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.mph, self.head = backbone, mph, head

    def forward(self, x: Tensor, boxes: Tensor) -> Tensor:
        """Vectors of ``boxes`` in (N, 3, H, W), see :func:`region_vectors`."""
        return region_vectors(self.backbone, self.mph, self.head, x, boxes)


@MODELS.register_module()
class MaskCo(SelfSupervisor):
    r"""Finds the masked region of one view among the regions of another.

    k_0 is the masked region in the key view.  Negatives are the other K - 1
    boxes of the other images of the same process, (K - 1)(N - 1) of them, and
    with ``intra`` the K - 1 of the same image.  Positives of other images are
    no negatives.

    Args:
        backbone (dict): Any network whose last output is a map.
        neck (dict, optional): ``mssl_plugins.MPH``. Defaults to None, the
            paper's "without MPH".
        head (dict, optional): Config of ``mssl_plugins.RoIHead``. Defaults to
            None: the one with its own defaults.
        fill (str): What the masked box of the normalized query view becomes:
            ``'mean'`` (0, the data set's mean color), ``'noise'`` (standard
            normal), ``'image_mean'`` (the view's own mean color), or
            ``'none'``, no mask (supplement, Table 2). Our choice. Defaults to
            ``'mean'``.
        mph_on_key (bool): Whether the key branch has MPH too (Algorithm 1: net
            is the backbone and MPH). False: only the query branch has it, like
            BYOL's predictor. Defaults to True.
        intra (bool): Whether boxes of the same image are negatives too, the
            paper's MaskCo(+in). Defaults to False.
        max_iou (float, optional): Negatives of the same image whose IoU with box 0
            is larger are dropped. Defaults to None, none is dropped.
        temperature (float): t. Defaults to 0.2.
        momentum (float): m of the key branch. Defaults to 0.999.
        shuffle_bn (bool): Whether the key branch sees the batch in another
            order: over processes, or over the parts of
            ``mssl_plugins.SplitBN`` in one process. Our choice. Defaults to
            True.
        channels_last (bool): Keep convolution weights in channels-last
            memory. Defaults to False.
        **kwargs: Arguments of
            :class:`~mssl_plugins.models.selfsup.base.SelfSupervisor`.

    Raises:
        ValueError: Unknown fill, ``temperature`` <= 0, ``max_iou`` outside
            [0, 1] or without ``intra``.
    """

    def __init__(
        self,
        backbone: dict,
        neck: Optional[dict] = None,
        head: Optional[dict] = None,
        fill: str = 'mean',
        mph_on_key: bool = True,
        intra: bool = False,
        max_iou: Optional[float] = None,
        temperature: float = 0.2,
        momentum: float = 0.999,
        shuffle_bn: bool = True,
        channels_last: bool = False,
        **kwargs,
    ) -> None:
        if fill not in FILLS:
            raise unknown(fill, FILLS, 'fill of the masked box')
        if temperature <= 0:
            raise ValueError(f'temperature must be positive, got {temperature}')
        if max_iou is not None and (not intra or not 0 <= max_iou <= 1):
            raise ValueError(f'max_iou={max_iou}: a value in [0, 1], and only with intra=True')
        super().__init__(
            backbone,
            neck or nn.Identity(),
            head or dict(type='mssl_plugins.RoIHead'),
            channels_last=channels_last,
            **kwargs,
        )
        self.fill, self.intra, self.max_iou = fill, intra, max_iou
        self.temperature, self.shuffle_bn = temperature, shuffle_bn
        self.split_bn = any(isinstance(m, SplitBatchNorm2d) for m in self.modules())
        self.encoder_k = MomentumTeacher(
            KeyEncoder(self.backbone, self.neck if mph_on_key else nn.Identity(), self.head),
            momentum,
        )  # a copy, in the same memory format

    def loss(self, inputs: List[Tensor], data_samples: List, **kwargs) -> Dict[str, Tensor]:
        """Losses of one iteration.

        Args:
            inputs (List[Tensor]): Query and key views, (N, 3, H, W) each.
            data_samples (List[DataSample]): With ``masked_box`` (4,) and
                ``key_boxes`` (K, 4), in px of their view.
            **kwargs: Not used.

        Returns:
            Dict[str, Tensor]: ``loss``, a float32 scalar.
        """
        x_q, x_k = self.two_views(inputs)  # (N, 3, H, W)
        masked_box, key_boxes = self.boxes(data_samples, x_q)  # (N, 4), (N, K, 4)
        q = self.query(x_q, masked_box)  # (N, D)
        k = self.keys(x_k, key_boxes)  # (N, K, D)
        with torch.autocast(q.device.type, enabled=False):
            logits = self.logits(q, k, key_boxes)  # (N, 1 + negatives)
            label = torch.zeros(len(q), dtype=torch.long, device=q.device)
            return dict(loss=F.cross_entropy(logits, label))

    def query(self, x: Tensor, boxes: Tensor) -> Tensor:
        """Query vectors q (N, D) of boxes (N, 4) in images (N, 3, H, W), masked here."""
        x = self.mask(x, boxes)
        return region_vectors(self.backbone, self.neck, self.head, x, boxes[:, None])[:, 0]

    def mask(self, x: Tensor, boxes: Tensor) -> Tensor:
        """Fills the boxes (N, 4) of normalized images (N, 3, H, W)."""
        return fill_pixels(x, box_mask(boxes, x.shape[-2:]), self.fill)

    def keys(self, x: Tensor, boxes: Tensor) -> Tensor:
        """Key vectors k (N, K, D) of boxes (N, K, 4) in images (N, 3, H, W), no gradient."""
        if self.shuffle_bn:
            return shuffled(self.encoder_k, (x, boxes), self.split_bn)
        return self.encoder_k(x, boxes)

    def logits(self, q: Tensor, k: Tensor, key_boxes: Tensor) -> Tensor:
        """[positive, negatives] / t.

        Args:
            q (Tensor): (N, D) unit vectors.
            k (Tensor): (N, K, D) unit vectors.
            key_boxes (Tensor): (N, K, 4), for ``max_iou``.

        Returns:
            Tensor: (N, 1 + (K - 1)(N - 1)), with ``intra`` K - 1 more, of
            which dropped ones are -inf.

        Raises:
            ValueError: If there is no negative.
        """
        n, m = len(q), k.shape[1] - 1
        if n == 1 and not self.intra:
            raise ValueError(
                'a batch of 1 has no negatives of other images: use 2 images a '
                'process or more, or intra=True'
            )
        if m < 1:
            raise ValueError('MaskCo needs key boxes beside the positive one, got none')
        positive = (q * k[:, 0]).sum(1, keepdim=True)  # (N, 1)
        negative = (q @ k[:, 1:].flatten(0, 1).T).view(n, n, m)  # image of q, image of k, box
        own = torch.eye(n, dtype=torch.bool, device=q.device)
        rows = [positive, negative[~own].view(n, (n - 1) * m)]
        if self.intra:
            same = negative[own]  # (N, M)
            if self.max_iou is not None:
                iou = torch.cat([box_iou(b[:1], b[1:]) for b in key_boxes])
                same = same.masked_fill(iou > self.max_iou, float('-inf'))
            rows.append(same)
        return torch.cat(rows, 1) / self.temperature

    @staticmethod
    def boxes(data_samples: Sequence, like: Tensor) -> Tuple[Tensor, Tensor]:
        """Masked boxes (N, 4) and key boxes (N, K, 4) of a batch.

        Raises:
            KeyError: If the samples carry none.
        """
        for name in ('masked_box', 'key_boxes'):
            if not data_samples or name not in data_samples[0]:
                raise KeyError(
                    f"MaskCo needs '{name}' in every data sample: use "
                    "dict(type='mssl_plugins.MaskCoViews', ...) and "
                    "dict(type='mssl_plugins.PackViews', keys=('masked_box', 'key_boxes'))"
                )
        return tuple(
            torch.stack([getattr(s, name) for s in data_samples]).to(like)
            for name in ('masked_box', 'key_boxes')
        )

    @torch.no_grad()
    def dense(self, x: Tensor, boxes: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        """Masked images, MPH's output on them, and the key branch's map.

        For figures; the map is that of the whole images (supplement, Fig. 1).

        Args:
            x (Tensor): (N, 3, H, W), normalized.
            boxes (Tensor): (N, 4), masked, in px.

        Returns:
            Tuple[Tensor, Tensor, Tensor]: (N, 3, H, W), (N, C, h, w) twice.
        """
        self.encoder_k.sync()
        masked, key = self.mask(x, boxes), self.encoder_k.module
        predicted = self.neck((feature_map(self.backbone, masked),))[-1]
        return masked, predicted, key.mph((feature_map(key.backbone, x),))[-1]
