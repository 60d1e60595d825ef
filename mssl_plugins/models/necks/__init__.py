"""Between backbone and loss."""
from .mae_decoder import MAEDecoder
from .mph import MPH
from .pixel_decoder import PixelDecoder

__all__ = ['MAEDecoder', 'MPH', 'PixelDecoder']
