"""Backbones that mmpretrain lacks."""

from mssl_plugins.models.backbones.resnet_small import SmallImageResNet
from mssl_plugins.models.backbones.vit import ViT
from mssl_plugins.models.backbones.vitdet import ViTDet

__all__ = ['SmallImageResNet', 'ViT', 'ViTDet']
