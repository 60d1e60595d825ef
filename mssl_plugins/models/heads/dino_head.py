"""The projection head of DINO (arXiv 2104.14294, section 3.1 and appendix C).

With BatchNorm, it follows MST (arXiv 2106.05656, supplement section 3): each
view is normalized by its own images, and local crops do not update the
running statistics.
"""

from contextlib import contextmanager
from typing import Iterator, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mssl_plugins.models.layers.precision import upcast
from mssl_plugins.models.layers.unit import unit
from mssl_plugins.registry import MODELS


@contextmanager
def without_running_stats(*modules: nn.Module) -> Iterator[None]:
    """A context in which BatchNorm uses the batch without updating running statistics."""
    layers = [
        m
        for module in modules
        for m in module.modules()
        if isinstance(m, _BatchNorm) and m.track_running_stats
    ]
    try:
        for layer in layers:
            layer.track_running_stats = False
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


class WeightNormLinear(nn.Module):
    """A linear layer without bias whose weight is ``g v / |v|``, row by row.

    Keys are those of ``torch.nn.utils.weight_norm``; unlike that, this layer can
    be copied at any time.

    Args:
        in_channels (int): Width of the input.
        out_channels (int): Rows of the weight.
        fixed_gain (bool): Keep g at 1. Defaults to True.
    """

    def __init__(self, in_channels: int, out_channels: int, fixed_gain: bool = True) -> None:
        super().__init__()
        self.weight_v = nn.Parameter(torch.empty(out_channels, in_channels))
        self.weight_g = nn.Parameter(torch.ones(out_channels, 1), requires_grad=not fixed_gain)
        nn.init.kaiming_uniform_(self.weight_v, a=5**0.5)  # as nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_channels) -> (..., out_channels)."""
        return F.linear(x, torch._weight_norm(self.weight_v, self.weight_g, 0))


@MODELS.register_module()
class DINOHead(nn.Module):
    """MLP, unit length, weight-normed linear layer.

    Args:
        in_channels (int): Width of the backbone's features.
        out_channels (int): Prototypes K. Defaults to 65536.
        hidden_channels (int): Defaults to 2048.
        bottleneck_channels (int): Width of the unit vectors. Defaults to 256.
        num_layers (int): Layers of the MLP. Defaults to 3.
        use_bn (bool): BatchNorm after all but its last layer: MST's way, an
            option of DINO's code. Defaults to False.
        norm_last_layer (bool): Keep the prototypes at unit length. Defaults
            to True.

    Raises:
        ValueError: If a width or ``num_layers`` is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 65536,
        hidden_channels: int = 2048,
        bottleneck_channels: int = 256,
        num_layers: int = 3,
        use_bn: bool = False,
        norm_last_layer: bool = True,
    ) -> None:
        super().__init__()
        widths = [in_channels, *[hidden_channels] * (num_layers - 1), bottleneck_channels]
        if num_layers < 1 or min(*widths, out_channels) < 1:
            raise ValueError(
                'layers and widths must be at least 1, got '
                f'num_layers={num_layers}, widths {widths} and {out_channels}'
            )
        layers = []
        for i, (a, b) in enumerate(zip(widths, widths[1:])):
            linear = nn.Linear(a, b)
            nn.init.trunc_normal_(linear.weight, std=0.02)
            nn.init.zeros_(linear.bias)
            layers.append(linear)
            if i < num_layers - 1:
                layers += [nn.BatchNorm1d(b), nn.GELU()] if use_bn else [nn.GELU()]
        self.out_channels = out_channels
        self.mlp = nn.Sequential(*layers)
        self.last_layer = WeightNormLinear(bottleneck_channels, out_channels, norm_last_layer)

    def forward(self, x: Tensor, views: int = 1, stat_views: Optional[int] = None) -> Tensor:
        """Logits of every image.

        Args:
            x (Tensor): (V * B, in_channels), view after view.
            views (int): V, the number of parts that BatchNorm normalizes
                separately. Defaults to 1.
            stat_views (int, optional): How many of them, counted from the
                first, update the running statistics. Defaults to None, all.

        Returns:
            Tensor: (V * B, K).
        """
        return self.last_layer(self.vectors(x, views, stat_views))

    def vectors(self, x: Tensor, views: int = 1, stat_views: Optional[int] = None) -> Tensor:
        """Unit vectors before the prototypes, (V * B, bottleneck_channels), at least float32.

        Arguments as for :meth:`forward`.
        """
        stat_views = views if stat_views is None else stat_views
        for layer in self.mlp:
            if isinstance(layer, _BatchNorm):
                parts = x.chunk(views)
                seen = [layer(part) for part in parts[:stat_views]]
                with without_running_stats(layer):
                    seen += [layer(part) for part in parts[stat_views:]]
                x = torch.cat(seen)
            else:
                x = layer(x)
        return unit(upcast(x))
