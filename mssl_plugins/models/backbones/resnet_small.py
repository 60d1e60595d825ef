"""ResNet for 64 px images, as the Tiny-ImageNet recipes use it."""
from mmpretrain.models.backbones import ResNet_CIFAR
from torch import nn

from mssl_plugins.registry import MODELS


@MODELS.register_module()
class SmallImageResNet(ResNet_CIFAR):
    """mmpretrain's ``ResNet_CIFAR`` (3 x 3 stem of stride 1) with a max-pool.

    SimCLR's and BYOL's recipe for 64 px (MixMask's supplement, Table 1,
    through the code it builds on) keeps the pool that the one for 32 px drops.
    Keys and arguments are ``ResNet_CIFAR``'s.
    """

    def _make_stem_layer(self, *args) -> None:
        super()._make_stem_layer(*args)
        # the stem of ResNet_CIFAR ends with self.relu
        self.relu = nn.Sequential(self.relu, nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
