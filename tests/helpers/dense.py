"""Small backbones of dense prediction, and checkpoints of them."""

import torch
from torch import nn

from mssl_plugins.datasets.dense_layouts import (
    write_scenes,
)
from mssl_plugins.models.backbones import ViT, ViTDet

ARCH = dict(embed_dims=16, num_layers=3, num_heads=2, feedforward_channels=32)
SMALL = dict(depth=18, stem_channels=8, base_channels=8)


def vitdet(**kwargs):
    return ViTDet(
        ARCH, **{**dict(img_size=32, patch_size=4, window_size=3, global_blocks=1), **kwargs}
    )


def plain(**kwargs):
    return ViT(
        ARCH, **{**dict(img_size=32, patch_size=4, out_type='featmap', final_norm=False), **kwargs}
    )


def randomize(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module


def save(backbone, path, prefix='backbone.', **extra):
    torch.save(
        dict(state_dict={**{prefix + k: v for k, v in backbone.state_dict().items()}, **extra}),
        path,
    )
    return path


def write_every_layout(folder):
    """8 + 4 scenes in each layout, in ``data/`` of a folder."""
    for layout in ('coco', 'voc', 'seg'):
        write_scenes(folder / 'data' / f'scenes-{layout}', layout, (8, 4))
    return folder
