"""Backbones that mmpretrain lacks."""
from .resnet_small import SmallImageResNet
from .vit import ViT

__all__ = ['SmallImageResNet', 'ViT']
