"""Projection heads, and the head of C4 detectors."""

from mssl_plugins.models.heads.dino_head import DINOHead
from mssl_plugins.models.heads.res5 import Res5
from mssl_plugins.models.heads.roi_head import RoIHead

__all__ = ['DINOHead', 'Res5', 'RoIHead']
