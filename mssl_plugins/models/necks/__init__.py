"""Between backbone and loss."""
from .mae_decoder import MAEDecoder
from .mph import MPH
from .pixel_decoder import PixelDecoder
from .simple_pyramid import SimpleFeaturePyramid

__all__ = ['MAEDecoder', 'MPH', 'PixelDecoder', 'SimpleFeaturePyramid']
