"""One file a method."""
from .asl import ASL
from .dino import DINO
from .mae import MAE
from .mask_guided import (MaskGuidedDINO, MaskGuidedDINODistill, MaskGuidedMAE,
                          MaskGuidedMAEDistill, MaskGuidedMST)
from .maskco import MaskCo
from .mixmask import MixMask
from .mst import MST
from .siamese import BYOL, MoCo, SimCLR, SimSiam

__all__ = [
    'ASL', 'BYOL', 'DINO', 'MAE', 'MST', 'MaskCo', 'MaskGuidedDINO', 'MaskGuidedDINODistill',
    'MaskGuidedMAE', 'MaskGuidedMAEDistill', 'MaskGuidedMST', 'MixMask', 'MoCo', 'SimCLR',
    'SimSiam'
]
