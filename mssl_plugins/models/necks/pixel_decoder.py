"""The decoder that reconstructs a view from patch tokens (MST, arXiv 2106.05656).

The paper says that it is convolutional; its layers are our choice.
"""

from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mssl_plugins.registry import MODELS


@MODELS.register_module()
class PixelDecoder(BaseModule):
    """Stages of 3 x 3 convolution, BatchNorm, ReLU, x 2; then 1 x 1 to pixels.

    About 0.8 G multiply-adds for a 224 px view of ViT-S/16.

    Args:
        in_channels (int): Width of a token.
        patch_size (int): Side of a patch in px, a power of 2: one stage each
            factor of 2. Defaults to 16.
        widths (Sequence[int]): Channels of the stages; the first ones are
            taken. Defaults to (256, 128, 64, 32).
        use_bn (bool): Defaults to True.
        out_channels (int): Channels of the image. Defaults to 3.
        init_cfg (dict | list, optional): Defaults to None: He's initialization,
            and small weights in the last layer, so that it starts at gray.

    Raises:
        ValueError: If ``patch_size`` is no power of 2 from 2 on, or has more
            factors of 2 than there are widths.
    """

    def __init__(
        self,
        in_channels: int,
        patch_size: int = 16,
        widths: Sequence[int] = (256, 128, 64, 32),
        use_bn: bool = True,
        out_channels: int = 3,
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(
            init_cfg
            or dict(
                type='Kaiming',
                layer='Conv2d',
                nonlinearity='relu',
                override=dict(type='Normal', name='to_pixels', std=0.01),
            )
        )
        stages = patch_size.bit_length() - 1
        if patch_size < 2 or patch_size != 2**stages or stages > len(widths):
            raise ValueError(
                f'patch_size={patch_size}: the decoder doubles the side in each '
                f'stage and has {len(widths)} widths, so allowed are '
                f'{[2 ** (i + 1) for i in range(len(widths))]}'
            )
        self.patch_size = patch_size
        channels = [in_channels, *widths[:stages]]
        self.stages = nn.ModuleList()
        for a, b in zip(channels, channels[1:]):
            norm = [nn.BatchNorm2d(b)] if use_bn else []
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, padding=1, bias=not use_bn), *norm, nn.ReLU(inplace=True)
                )
            )
        self.to_pixels = nn.Conv2d(channels[-1], out_channels, 1)
        self.to(memory_format=torch.channels_last)  # as tokens arrive

    def forward(self, tokens: Tensor, grid: Tuple[int, int]) -> Tensor:
        """Reconstructs a view.

        Args:
            tokens (Tensor): Patch tokens without [CLS], (B, h * w, C).
            grid (Tuple[int, int]): h and w in patches.

        Returns:
            Tensor: (B, out_channels, h * patch_size, w * patch_size).
        """
        x = tokens.transpose(1, 2).unflatten(2, tuple(grid))  # (B, C, h, w)
        for i, stage in enumerate(self.stages):
            x = stage(x if i == 0 else self.enlarge(x))
        # 1 x 1 before x 2: the same image, as both are linear and the
        # weights of the interpolation sum to 1, for 3 channels instead of 32
        return self.enlarge(self.to_pixels(x))

    @staticmethod
    def enlarge(x: Tensor) -> Tensor:
        """Doubles height and width of (N, C, H, W), bilinear."""
        return F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
