"""Small modules, in float32."""
from mssl_plugins.models.losses.dino import DINOLoss
from mssl_plugins.models.losses.patch_contrast import PatchContrast, l_single

__all__ = ['DINOLoss', 'PatchContrast', 'l_single']
