"""Small modules, in float32."""
from .dino import DINOLoss
from .patch_contrast import PatchContrast, l_single

__all__ = ['DINOLoss', 'PatchContrast', 'l_single']
