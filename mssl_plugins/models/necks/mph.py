"""MPH, MaskCo's mask prediction head.

It maps features of the masked view to what they would be without the mask,
on the whole map and before RoIAlign (supplement, Algorithm 1).  Its layers are
not published: both forms are our choice.
"""

from typing import Optional, Sequence, Tuple

from mmengine.model import BaseModule
from mmpretrain.models.backbones.resnet import Bottleneck
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import Tensor, nn

from mssl_plugins.errors import unknown
from mssl_plugins.models.layers.pos_embed import sincos_pos_embed
from mssl_plugins.registry import MODELS


@MODELS.register_module()
class MPH(BaseModule):
    """Mask prediction head on a feature map.

    ``transformer``: a projection C -> hidden, 2-D sine-cosine position
    embeddings, pre-norm Transformer encoder layers, a projection hidden -> C,
    and the input is added.  ``conv``: ResNet's bottleneck blocks of inner width
    hidden.  The paper's "without MPH" is ``neck=None`` of ``mssl_plugins.MaskCo``.

    Args:
        in_channels (int): C of the map, 2048 for ResNet-50's last.
        kind (str): ``'transformer'`` or ``'conv'``. Defaults to
            ``'transformer'``.
        hidden_channels (int): Defaults to 512.
        depth (int): Layers or blocks. Defaults to 2.
        num_heads (int): Heads of the Transformer. Defaults to 8.
        norm_cfg (dict): Norm of ``conv``. Defaults to ``dict(type='BN')``.
        init_cfg (dict, optional): Defaults to None.

    Raises:
        ValueError: Unknown kind, ``depth`` < 1, or a width that the heads, the
            position (4) or the bottleneck do not divide.
    """

    KINDS = ('transformer', 'conv')

    def __init__(
        self,
        in_channels: int,
        kind: str = 'transformer',
        hidden_channels: int = 512,
        depth: int = 2,
        num_heads: int = 8,
        norm_cfg: dict = dict(type='BN'),
        init_cfg: Optional[dict] = None,
    ) -> None:
        super().__init__(init_cfg)
        if kind not in self.KINDS:
            raise unknown(kind, self.KINDS, 'kind of MPH')
        if depth < 1:
            raise ValueError(f'depth must be 1 or more, got {depth}; neck=None leaves MPH out')
        self.kind, self.in_channels, self.hidden_channels = kind, in_channels, hidden_channels
        if kind == 'conv':
            if in_channels % hidden_channels:
                raise ValueError(
                    f'hidden_channels={hidden_channels} must divide the '
                    f'{in_channels} channels of the map'
                )
            self.layers = nn.Sequential(
                *(
                    Bottleneck(
                        in_channels, in_channels, in_channels // hidden_channels, norm_cfg=norm_cfg
                    )
                    for _ in range(depth)
                )
            )
        else:
            if hidden_channels % 4 or hidden_channels % num_heads:
                raise ValueError(
                    f'hidden_channels={hidden_channels} must be divisible by 4 and '
                    f'by num_heads={num_heads}'
                )
            self.inward = nn.Linear(in_channels, hidden_channels)
            self.layers = nn.Sequential(
                *(
                    TransformerEncoderLayer(hidden_channels, num_heads, 4 * hidden_channels)
                    for _ in range(depth)
                )
            )
            self.norm = nn.LayerNorm(hidden_channels)
            self.outward = nn.Linear(hidden_channels, in_channels)

    def forward(self, x: Sequence[Tensor]) -> Tuple[Tensor]:
        """The last of the maps, (N, C, H, W) -> (N, C, H, W), in a tuple.

        Raises:
            ValueError: If the map has another number of channels.
        """
        x = x[-1]
        if x.shape[1] != self.in_channels:
            raise ValueError(
                f'MPH was made for {self.in_channels} channels, the map has '
                f'{x.shape[1]}: set in_channels={x.shape[1]}'
            )
        if self.kind == 'conv':
            return (self.layers(x),)
        h, w = x.shape[-2:]
        pos_embed = sincos_pos_embed((h, w), self.hidden_channels).to(x)  # (1, HW, hidden)
        tokens = self.inward(x.flatten(2).transpose(1, 2)) + pos_embed  # (N, HW, hidden)
        tokens = self.outward(self.norm(self.layers(tokens)))  # (N, HW, C)
        return (x + tokens.transpose(1, 2).unflatten(2, (h, w)),)
