"""The simple feature pyramid of ViTDet (arXiv 2203.16527, section 3, Figure 2 c).

All levels are made from the last map of a plain ViT.
"""

from typing import Sequence, Tuple, Union

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerNorm2d
from torch import Tensor, nn

from mssl_plugins.errors import unknown
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Maps of strides 4, 8, 16, 32 (and 64) from one map of stride 16.

    Each level is deconvolved (LayerNorm and GELU between two) or max-pooled,
    then goes through a 1 x 1 and a 3 x 3 convolution, each followed by
    LayerNorm.

    Args:
        in_channels (int): Channels C of the ViT.
        out_channels (int): Channels of every level. Defaults to 256.
        scales (Sequence[float]): Size of each level against the ViT's map,
            out of 4, 2, 1, 0.5. Defaults to all of them.
        extra (int): Number of further levels, each made of every second pixel
            of the level before. Defaults to 1.
        init_cfg (dict, optional): Defaults to None.

    Raises:
        ValueError: If a scale is none of the four.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        scales: Sequence[float] = (4, 2, 1, 0.5),
        extra: int = 1,
        init_cfg=None,
    ) -> None:
        super().__init__(init_cfg)
        self.extra = extra
        self.levels = nn.ModuleList()
        for scale in scales:
            width = in_channels
            if scale == 4:
                body = [
                    nn.ConvTranspose2d(width, width // 2, 2, stride=2),
                    LayerNorm2d(width // 2, eps=1e-6),
                    nn.GELU(),
                    nn.ConvTranspose2d(width // 2, width // 4, 2, stride=2),
                ]
                width //= 4
            elif scale == 2:
                body = [nn.ConvTranspose2d(width, width // 2, 2, stride=2)]
                width //= 2
            elif scale == 1:
                body = []
            elif scale == 0.5:
                body = [nn.MaxPool2d(2, stride=2)]
            else:
                raise unknown(scale, ('4', '2', '1', '0.5'), 'scale of the pyramid')
            self.levels.append(
                nn.Sequential(
                    *body,
                    nn.Conv2d(width, out_channels, 1, bias=False),
                    LayerNorm2d(out_channels, eps=1e-6),
                    nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                    LayerNorm2d(out_channels, eps=1e-6),
                )
            )

    def forward(self, inputs: Union[Tensor, Sequence[Tensor]]) -> Tuple[Tensor, ...]:
        """The ViT's maps, of which the last is used -> maps (B, out_channels, h, w)."""
        x = inputs if isinstance(inputs, Tensor) else inputs[-1]
        maps = [level(x) for level in self.levels]
        for _ in range(self.extra):
            maps.append(F.max_pool2d(maps[-1], 1, stride=2))
        return tuple(maps)
