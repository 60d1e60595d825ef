"""Projection heads."""
from .dino_head import DINOHead
from .roi_head import RoIHead

__all__ = ['DINOHead', 'RoIHead']
