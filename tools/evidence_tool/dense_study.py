"""Dense transfer: which detector or segmenter, on what, from which weights, and the claims."""

from typing import Dict, List, NamedTuple, Tuple


class Weights(NamedTuple):
    """Where a start comes from.

    Attributes:
        config (str): Config of the pre-training.
        branch (str): 'student' or 'teacher'.
    """

    config: str
    branch: str = 'student'


class Transfer(NamedTuple):
    """A detector or segmenter on a data set.

    Attributes:
        title, config, data (str): For the page; shipped config; its data set.
        family (str): A key of ``FAMILIES``.
        figure (str): 'AP' (boxes, IoU 0.5-0.95) or 'mIoU'.
        images (int): Test images.
    """

    title: str
    config: str
    data: str
    family: str
    figure: str
    images: int


# the base and the method built on it, both of scenes: no test set below shares an image with them
FAMILIES: Dict[str, Dict[str, Weights]] = dict(
    resnet={
        'SimCLR': Weights('simclr_resnet18_1xb64-coslr-8e_scenes'),
        'SimCLR + MixMask': Weights('mixmask_simclr_resnet18_1xb64-coslr-8e_scenes'),
    },
    vit={
        'MAE': Weights('mae_vit-mini_1xb256-coslr-12e_scenes'),
        'ASL': Weights('asl_vit-mini_1xb256-coslr-12e_scenes'),
    },
)
RANDOM = 'random weights'
TRANSFERS: Dict[str, Transfer] = {
    'c4-bccd': Transfer(
        'Faster R-CNN C4, BCCD', 'faster-rcnn_r18-c4_1xb4-200i_bccd', 'bccd', 'resnet', 'AP', 72
    ),
    'c4-scenes': Transfer(
        'Faster R-CNN C4, scenes',
        'faster-rcnn_r18-c4_1xb4-200i_scenes-voc',
        'scenes-voc',
        'resnet',
        'AP',
        100,
    ),
    'vitdet-scenes': Transfer(
        'Mask R-CNN ViTDet, scenes',
        'vitdet_vit-mini_1xb4-200i_scenes-coco',
        'scenes-coco',
        'vit',
        'AP',
        100,
    ),
    'upernet-camvid': Transfer(
        'UperNet, CamVid', 'upernet_vit-mini_1xb4-200i_camvid', 'camvid', 'vit', 'mIoU', 60
    ),
    'upernet-scenes': Transfer(
        'UperNet, scenes',
        'upernet_vit-mini_1xb4-200i_scenes-seg',
        'scenes-seg',
        'vit',
        'mIoU',
        100,
    ),
}
SEEDS = 3
RATES = (0.5, 1.0, 2.0)  # of the config's learning rate: as many tries for every start


def starts(transfer: Transfer) -> List[str]:
    """Random weights, the base, the method."""
    return [RANDOM, *FAMILIES[transfer.family]]


def claims(transfer: Transfer) -> List[Tuple[str, str]]:
    """(above, below) of a transfer: the base above random weights, the method above its base."""
    base, method = FAMILIES[transfer.family]
    return [(base, RANDOM), (method, base)]
