"""Backbones that mmpretrain lacks."""
from .resnet_small import SmallImageResNet
from .vit import ViT
from .vitdet import ViTDet

__all__ = ['SmallImageResNet', 'ViT', 'ViTDet']
