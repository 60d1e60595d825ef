"""One file a method."""
from .asl import ASL
from .mae import MAE
from .mixmask import MixMask
from .siamese import BYOL, MoCo, SimCLR, SimSiam

__all__ = ['ASL', 'BYOL', 'MAE', 'MixMask', 'MoCo', 'SimCLR', 'SimSiam']
