"""A dataset of given images: files, Pillow images or arrays."""

import os
from typing import List, Optional, Sequence, Union

import numpy as np
from PIL import Image

from mssl_plugins.datasets.base import DecodingDataset
from mssl_plugins.registry import DATASETS


@DATASETS.register_module()
class GivenImages(DecodingDataset):
    """A list of images, in the given order and without labels.

    Args:
        images (Sequence): Paths, Pillow's images of any mode, or arrays
            (H, W, 3) uint8 RGB.
        max_bad (float): See :class:`DecodingDataset`. Defaults to 0: no image
            is ever replaced.
        **kwargs: Those of :class:`DecodingDataset`.

    Raises:
        UnreadableImages: On access, if a file cannot be decoded.
        ValueError: If there is no image.
        TypeError: If an item is not an image; the message says which.
    """

    def __init__(
        self,
        images: Sequence[Union[str, os.PathLike, Image.Image, np.ndarray]],
        max_bad: float = 0.0,
        **kwargs,
    ) -> None:
        self.images = list(images)
        if not self.images:
            raise ValueError('no images were given')
        for number, image in enumerate(self.images):
            array = isinstance(image, np.ndarray)
            if array and (image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3):
                raise TypeError(
                    f'image {number} is an array of {image.dtype} and shape {image.shape}: '
                    'uint8 of shape (H, W, 3), RGB, is taken'
                )
            if not array and not isinstance(image, (str, os.PathLike, Image.Image)):
                raise TypeError(
                    f'image {number} is a {type(image).__name__}: a path, an image of Pillow '
                    'or an array (H, W, 3) uint8 is taken'
                )
        super().__init__(ann_file='', max_bad=max_bad, **kwargs)

    def load_data_list(self) -> List[dict]:
        """One entry for each image; those in memory have no path."""
        return [
            dict(img_path=os.fspath(image) if isinstance(image, (str, os.PathLike)) else '')
            for image in self.images
        ]

    def load(self, info: dict) -> Optional[np.ndarray]:
        """Image of a sample, uint8 (H, W, 3) RGB; None if its file is left out."""
        image = self.images[info['sample_idx']]
        if isinstance(image, np.ndarray):
            return image
        if isinstance(image, Image.Image):
            return np.asarray(image.convert('RGB'))
        return super().load(info)
