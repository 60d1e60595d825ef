"""Losses: small modules and functions that compute in float32."""

from mssl_plugins.models.losses.dino import DINOLoss
from mssl_plugins.models.losses.ibot import IBOTPatchLoss
from mssl_plugins.models.losses.nt_xent import nt_xent
from mssl_plugins.models.losses.patch_contrast import PatchContrast, l_single

__all__ = ['DINOLoss', 'IBOTPatchLoss', 'PatchContrast', 'l_single', 'nt_xent']
