"""The BatchNorm in front of a linear segmentation head (DINOv2, arXiv 2304.07193, section 7.4)."""

from typing import Sequence, Tuple

from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from mssl_plugins.registry import MODELS


@MODELS.register_module()
class BatchNormNeck(nn.Module):
    """Standardizes the last map of a frozen backbone.

    With mmseg's ``FCNHead(num_convs=0, concat_input=False)`` behind it, it is
    DINOv2's linear head: BatchNorm and a 1 x 1 convolution.

    Args:
        channels (int): Channels of the map.
        norm_cfg (dict): Which norm. Defaults to ``dict(type='SyncBN')``.

    Example:
        >>> dict(type='mssl_plugins.BatchNormNeck', channels=384)
    """

    def __init__(self, channels: int, norm_cfg: dict = dict(type='SyncBN')) -> None:
        super().__init__()
        self.norm = build_norm_layer(norm_cfg, channels)[1]

    def forward(self, maps: Sequence[Tensor]) -> Tuple[Tensor]:
        """Maps (B, C, h, w) -> the last one, normalized, alone."""
        return (self.norm(maps[-1]),)
