"""ResNet for small images: the stems of the CIFAR and Tiny-ImageNet recipes."""

from mmpretrain.models.backbones import ResNet_CIFAR
from torch import nn

from mssl_plugins.registry import MODELS


@MODELS.register_module()
class SmallImageResNet(ResNet_CIFAR):
    """mmpretrain's ``ResNet_CIFAR`` (3 x 3 stem) with two choices for the stem.

    The recipes of SimCLR and BYOL for 64 px (MixMask's supplement, Table 1, and
    the code it builds on) keep the max-pool that those for 32 px drop.  A stem
    of stride 2 makes the network small enough for a CPU.  State-dict keys are
    ``ResNet_CIFAR``'s.

    Args:
        depth (int): 18, 34, 50, ...
        pool (bool): Max-pool (3 x 3, stride 2) after the stem. Defaults to
            True.
        stem_stride (int): Stride of the first convolution. Defaults to 1.
        **kwargs: Arguments of mmpretrain's ``ResNet``.
    """

    def __init__(self, depth: int, pool: bool = True, stem_stride: int = 1, **kwargs) -> None:
        self.stem = dict(pool=pool, stride=stem_stride)  # read while the parent builds its stem
        super().__init__(depth, **kwargs)

    def _make_stem_layer(self, *args) -> None:
        super()._make_stem_layer(*args)
        self.conv1.stride = (self.stem['stride'],) * 2
        if self.stem['pool']:  # the stem of ResNet_CIFAR ends with self.relu
            self.relu = nn.Sequential(self.relu, nn.MaxPool2d(3, stride=2, padding=1))
