"""The methods, one file each."""

from mssl_plugins.models.selfsup.asl import ASL
from mssl_plugins.models.selfsup.byol import BYOL
from mssl_plugins.models.selfsup.dino import DINO
from mssl_plugins.models.selfsup.ibot import IBOT
from mssl_plugins.models.selfsup.mae import MAE
from mssl_plugins.models.selfsup.mask_guided import (
    MaskGuidedASL,
    MaskGuidedDINO,
    MaskGuidedIBOT,
    MaskGuidedMAE,
    MaskGuidedMST,
)
from mssl_plugins.models.selfsup.mask_guided_distill import (
    MaskGuidedDINODistill,
    MaskGuidedMAEDistill,
)
from mssl_plugins.models.selfsup.maskco import MaskCo
from mssl_plugins.models.selfsup.mixmask import MixMask
from mssl_plugins.models.selfsup.moco import MoCo
from mssl_plugins.models.selfsup.mst import MST
from mssl_plugins.models.selfsup.simclr import SimCLR
from mssl_plugins.models.selfsup.simsiam import SimSiam

__all__ = [
    'ASL',
    'BYOL',
    'DINO',
    'IBOT',
    'MAE',
    'MST',
    'MaskCo',
    'MaskGuidedASL',
    'MaskGuidedDINO',
    'MaskGuidedDINODistill',
    'MaskGuidedIBOT',
    'MaskGuidedMAE',
    'MaskGuidedMAEDistill',
    'MaskGuidedMST',
    'MixMask',
    'MoCo',
    'SimCLR',
    'SimSiam',
]
