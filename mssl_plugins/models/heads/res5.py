"""The last stage of a ResNet as the head of every region: R50-C4.

The detectors of MaskCo's (supplement A.3) and MixMask's (section 2) transfer
experiments: C4 of Faster R-CNN (arXiv 1506.01497) with MoCo's extra
normalization after res5 (arXiv 1911.05722, section A.2), which features that
were never normalized in pre-training need.
"""

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmpretrain.models.backbones import ResNet
from mmpretrain.models.backbones.resnet import ResLayer, get_expansion
from torch import Tensor, nn

from mssl_plugins.errors import unknown
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class Res5(BaseModule):
    """The last stage of a ResNet and a norm, as mmdet's ``shared_head`` of a C4 detector.

    Its keys are a ResNet's own (``layer4.0.conv1.weight``, ...) and ``norm``,
    so that the fourth stage of a pre-trained ResNet fits;
    ``mssl_plugins.LoadBackboneHook`` puts it there.

    Args:
        depth (int): Depth of the ResNet. Defaults to 50.
        base_channels (int): Base width of the ResNet. Defaults to 64.
        stride (int): Stride of the stage. Defaults to 2.
        style (str): 'pytorch' or 'caffe'. Defaults to 'pytorch'.
        norm_cfg (dict): Defaults to ``dict(type='BN')``.
        extra_norm (bool): A norm layer behind the stage. Defaults to True.
        norm_eval (bool): BatchNorm uses its running statistics in training
            too. Defaults to False.
        init_cfg (dict | list): Defaults to mmpretrain's for a ResNet.

    Raises:
        ValueError: If there is no ResNet of this depth.
    """

    def __init__(
        self,
        depth: int = 50,
        base_channels: int = 64,
        stride: int = 2,
        style: str = 'pytorch',
        norm_cfg: dict = dict(type='BN'),
        extra_norm: bool = True,
        norm_eval: bool = False,
        init_cfg=(
            dict(type='Kaiming', layer=['Conv2d']),
            dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
        ),
    ) -> None:
        super().__init__(list(init_cfg) if isinstance(init_cfg, tuple) else init_cfg)
        if depth not in ResNet.arch_settings:
            raise unknown(depth, ResNet.arch_settings, 'depth of a ResNet')
        block, blocks = ResNet.arch_settings[depth]
        width = base_channels * get_expansion(block)
        self.layer4 = ResLayer(
            block, blocks[3], 4 * width, 8 * width, stride=stride, style=style, norm_cfg=norm_cfg
        )
        self.norm = build_norm_layer(norm_cfg, 8 * width)[1] if extra_norm else nn.Identity()
        self.norm_eval = norm_eval

    def forward(self, x: Tensor) -> Tensor:
        """Regions (n, 4 w, S, S) -> (n, 8 w, S / stride, S / stride), w the width of a stage."""
        return self.norm(self.layer4(x))

    def train(self, mode: bool = True) -> 'Res5':
        """Sets the mode; with ``norm_eval`` batch normalization stays in evaluation."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self
