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
            (H, W, 3) uint8 RGB. With ``channels``, C: paths, or arrays
            (H, W, C) uint8 or, for 16 bits, uint16.
        max_bad (float): See :class:`DecodingDataset`. Defaults to 0: no image
            is ever replaced.
        **kwargs: Those of :class:`DecodingDataset`.

    Raises:
        UnreadableImages: On access, if a file cannot be decoded.
        ValueError: If there is no image.
        TypeError: If an item is not such an image; the message says which.
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
        kept = kwargs.get('channels')
        channels, bits = (3, 8) if kept is None else (kept, kwargs.get('bits', 8))
        form = f'uint{bits} of shape (H, W, {channels})'
        for number, image in enumerate(self.images):
            array = isinstance(image, np.ndarray)
            if array and (image.dtype != f'u{bits // 8}' or image.shape[2:] != (channels,)):
                raise TypeError(
                    f'image {number} is an array of {image.dtype} and shape {image.shape}: '
                    f'{form}{", RGB," if kept is None else ""} is taken'
                )
            others = (str, os.PathLike, Image.Image) if kept is None else (str, os.PathLike)
            if not array and not isinstance(image, others):
                raise TypeError(
                    f'image {number} is a {type(image).__name__}: a path'
                    f'{", an image of Pillow" if kept is None else ""} or an array, {form}, '
                    'is taken'
                )
        super().__init__(ann_file='', max_bad=max_bad, **kwargs)

    def load_data_list(self) -> List[dict]:
        """One entry for each image; those in memory have no path."""
        return [
            dict(img_path=os.fspath(image) if isinstance(image, (str, os.PathLike)) else '')
            for image in self.images
        ]

    def load(self, info: dict) -> Optional[np.ndarray]:
        """Image of a sample, see the class; None if its file is left out."""
        image = self.images[info['sample_idx']]
        if isinstance(image, np.ndarray):
            return image
        if isinstance(image, Image.Image):
            return np.asarray(image.convert('RGB'))
        return super().load(info)
