"""From boxes on a feature map to unit vectors: MaskCo's projection head.

RoIAlign as Mask R-CNN (arXiv 1703.06870, section 3), from torchvision.  Sizes
are not published: our choice.
"""

from typing import Optional

from mmengine.model import BaseModule
from torch import Tensor, nn
from torchvision.ops import roi_align

from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.layers.unit import unit
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class RoIHead(BaseModule):
    """RoIAlign, average, fc-ReLU-fc, L2 norm.

    Args:
        in_channels (int): C of the map. Defaults to 2048.
        hid_channels (int): Defaults to 2048.
        out_channels (int): D. Defaults to 128.
        roi_size (int): Cells a side that RoIAlign makes of a box before they
            are averaged. Defaults to 3.
        init_cfg (dict, optional): Defaults to None.
    """

    def __init__(
        self,
        in_channels: int = 2048,
        hid_channels: int = 2048,
        out_channels: int = 128,
        roi_size: int = 3,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        self.roi_size = roi_size
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hid_channels),
            nn.ReLU(inplace=True),
            nn.Linear(hid_channels, out_channels),
        )

    def pool(self, x: Tensor, boxes: Tensor, scale: float) -> Tensor:
        """Mean feature of each box, float32 or wider.

        Args:
            x (Tensor): (N, C, H, W).
            boxes (Tensor): (N, K, 4), x0, y0, x1, y1 in px of the image.
            scale (float): Cells a px.

        Returns:
            Tensor: (N, K, C).
        """
        x = upcast(x)
        rois = roi_align(x, list(boxes.to(x).unbind()), self.roi_size, scale, aligned=True)
        return rois.mean((2, 3)).unflatten(0, boxes.shape[:2])

    def forward(self, x: Tensor, boxes: Tensor, scale: float) -> Tensor:
        """Unit vectors (N, K, D), float32 or wider; arguments of :meth:`pool`."""
        return unit(upcast(self.mlp(self.pool(x, boxes, scale))))
