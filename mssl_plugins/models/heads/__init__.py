"""Projection heads, and the head of C4 detectors."""
from .dino_head import DINOHead
from .res5 import Res5
from .roi_head import RoIHead

__all__ = ['DINOHead', 'Res5', 'RoIHead']
