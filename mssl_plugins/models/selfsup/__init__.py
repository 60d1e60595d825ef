"""One file a method."""
from .mixmask import MixMask
from .siamese import BYOL, MoCo, SimCLR, SimSiam

__all__ = ['BYOL', 'MixMask', 'MoCo', 'SimCLR', 'SimSiam']
