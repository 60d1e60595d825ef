"""Modules between backbone and loss: decoders, pyramids, MPH."""

from mssl_plugins.models.necks.batch_norm import BatchNormNeck
from mssl_plugins.models.necks.mae_decoder import MAEDecoder
from mssl_plugins.models.necks.mph import MPH
from mssl_plugins.models.necks.pixel_decoder import PixelDecoder
from mssl_plugins.models.necks.simple_pyramid import SimpleFeaturePyramid

__all__ = ['BatchNormNeck', 'MAEDecoder', 'MPH', 'PixelDecoder', 'SimpleFeaturePyramid']
