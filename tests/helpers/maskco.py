"""A tiny MaskCo and its batches."""

import numpy as np
import torch
from mmpretrain.structures import DataSample
from torch import nn

from mssl_plugins.datasets.transforms.maskco_views import MaskCoViews
from mssl_plugins.registry import MODELS

SIZE, STRIDE, CHANNELS, DIM, KEYS = 32, 4, 8, 6, 5


class TinyBackbone(nn.Module):
    """No BatchNorm: an image's map depends on that image alone."""

    def __init__(self, channels=CHANNELS, stride=STRIDE):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, stride + 1, stride, padding=stride // 2)

    def forward(self, x):
        return (torch.tanh(self.conv(x)),)


def build(**kwargs):
    torch.manual_seed(0)
    settings = dict(
        backbone=TinyBackbone(),
        neck=dict(type='mssl_plugins.MPH', in_channels=CHANNELS, hidden_channels=8, num_heads=2),
        head=dict(
            type='mssl_plugins.RoIHead', in_channels=CHANNELS, hid_channels=12, out_channels=DIM
        ),
    )
    model = MODELS.build(dict(type='mssl_plugins.MaskCo', **{**settings, **kwargs}))
    model.encoder_k.sync()
    return model


def perturb_teacher(model):
    for p in model.encoder_k.module.parameters():
        p.data += 0.2 * torch.randn_like(p)
    model.encoder_k.steps += 1
    return model


def batch(n, keys=KEYS, dtype=torch.float64, seed=1, size=SIZE):
    rng = np.random.default_rng(seed)
    g = torch.Generator().manual_seed(seed)
    transform = MaskCoViews([dict(num=2, size=size)], num_boxes=keys - 1, stride=STRIDE)
    samples = []
    for _ in range(n):
        out = transform(dict(img=rng.integers(0, 256, (40, 52, 3), dtype=np.uint8), rng=rng))
        sample = DataSample()
        for key in ('masked_box', 'key_boxes'):
            sample.set_field(torch.from_numpy(out[key]), key)
        samples.append(sample)
    return [torch.randn(n, 3, size, size, generator=g, dtype=dtype) for _ in range(2)], samples
