"""Color jitter and PCA lighting as steps of a labeled pipeline.

MMPretrain has both for BGR images; its ``Lighting`` casts back to uint8, so
that a value pushed past 255 becomes a dark one.
"""

import numpy as np
from mmcv.transforms import BaseTransform

from mssl_plugins.datasets.sampler import sample_rng
from mssl_plugins.datasets.transforms.photometric import Photometric
from mssl_plugins.registry import TRANSFORMS

#: of ImageNet's RGB values scaled to 0-1 (AlexNet, section 4.1), as OpenSelfSup has them
EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array(
    [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
)


def _rng(results: dict) -> np.random.Generator:
    """The sample's random generator, which later transforms continue."""
    if results.get('rng') is None:
        results['rng'] = sample_rng(results)
    return results['rng']


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """torchvision's ``ColorJitter``: four operations in random order.

    Args:
        **strengths: ``brightness``, ``contrast``, ``saturation``, ``hue``
            and the probability ``p``, as ``jitter`` of
            :class:`~mssl_plugins.datasets.transforms.photometric.Photometric`.

    Raises:
        ValueError: For unknown keys and values out of range.
    """

    def __init__(self, **strengths) -> None:
        self.jitter = Photometric(jitter=strengths)

    def transform(self, results: dict) -> dict:
        """Changes ``img``, uint8 (H, W, 3) RGB."""
        results['img'] = self.jitter(results['img'], _rng(results))
        return results


@TRANSFORMS.register_module()
class Lighting(BaseTransform):
    """PCA noise of AlexNet (Krizhevsky et al., 2012, section 4.1).

    Adds the sum of the eigenvectors of ImageNet's RGB covariance, each times
    its eigenvalue and a normal number, the same to every pixel.

    Args:
        std (float): Standard deviation of the normal numbers, >= 0. Defaults
            to 0.1.

    Raises:
        ValueError: If ``std`` is negative.
    """

    def __init__(self, std: float = 0.1) -> None:
        if std < 0:
            raise ValueError(f'std of Lighting must not be negative, got {std}')
        self.std = std

    def transform(self, results: dict) -> dict:
        """Changes ``img``, (H, W, 3) RGB in 0-255, to float32 that is not clipped."""
        alpha = _rng(results).normal(0, self.std, 3)
        shift = 255 * EIGENVECTORS @ (alpha * EIGENVALUES)  # (3,)
        results['img'] = results['img'].astype(np.float32) + shift.astype(np.float32)
        return results
