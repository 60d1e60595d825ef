"""Backbones that mmpretrain lacks."""
from .resnet_small import SmallImageResNet

__all__ = ['SmallImageResNet']
