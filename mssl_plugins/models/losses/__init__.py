"""Small modules, in float32."""
from .patch_contrast import PatchContrast, l_single

__all__ = ['PatchContrast', 'l_single']
