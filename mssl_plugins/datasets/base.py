"""Base of the datasets of files: decodes images and replaces those it cannot decode."""

from typing import Optional

import numpy as np
import torch
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from mssl_plugins.datasets.bands import check_channels, decode_bands
from mssl_plugins.datasets.image_io import (
    MAX_PIXELS,
    decode_checked,
    printable,
    read_file,
    told_loss,
)
from mssl_plugins.datasets.sampler import SampleIndex


class UnreadableImages(RuntimeError):
    """Raised when more images than allowed cannot be decoded."""


class DecodingDataset(BaseDataset):
    """Base of the datasets here: decodes, replaces what it cannot decode.

    An unreadable image is replaced by another image of the dataset, chosen by
    the index alone.  The whole sample, ``sample_idx`` and ``gt_label``
    included, is then the replacement's.  Unreadable images are
    counted in memory that all workers of a loader share.  Each process of a
    distributed run counts its own, against the length of the whole dataset.

    Args:
        max_bad (float): Largest fraction of the dataset that may be
            unreadable; beyond it the run stops. Defaults to 0.01.
        lazy_init (bool): Whether to find the images only at first use.
            Defaults to False.
        max_pixels (int): Height times width above which an image counts as
            unreadable, before it is decoded. Defaults to 100,000,000.
        min_size (int): Shorter side in px below which an image counts as
            unreadable. Defaults to 1.
        channels (int, optional): Number of channels that every image has. Images are then
            kept as they are, see :func:`~mssl_plugins.datasets.bands.decode_bands`; those
            with another number count as unreadable, and samples also have
            ``channels``. Defaults to None: images become 8-bit RGB, see
            :func:`~mssl_plugins.datasets.image_io.decode_checked`; the first image that
            loses alpha or bits in this way is logged.
        bits (int): Bits of these channels, 8 or 16. Defaults to 8.
        **kwargs: Arguments of MMPretrain's ``BaseDataset``.

    Raises:
        UnreadableImages: On access, with the count and the first files.
        ValueError: If there is no image, or an argument is out of range.
    """

    def __init__(
        self,
        max_bad: float = 0.01,
        lazy_init: bool = False,
        max_pixels: int = MAX_PIXELS,
        min_size: int = 1,
        channels: Optional[int] = None,
        bits: int = 8,
        **kwargs,
    ):
        if not 0 <= max_bad <= 1:
            raise ValueError(f'max_bad must be in 0 .. 1, got {max_bad}')
        for name, value in (('max_pixels', max_pixels), ('min_size', min_size)):
            if value < 1:
                raise ValueError(f'{name} must be 1 px or more, got {value}')
        if channels is not None:
            check_channels(channels, bits)
        elif bits != 8:
            raise ValueError(f'bits={bits} goes with channels=, the number of channels to keep')
        self.channels, self.bits = channels, bits
        self.max_bad, self.max_pixels, self.min_size = max_bad, max_pixels, min_size
        super().__init__(lazy_init=True, **kwargs)
        if not lazy_init:
            self.full_init()

    def full_init(self):
        """Scans the images and sets up the count of unreadable ones.

        Transforms that need data for every image, such as segments, check
        here that it exists.
        """
        if not self._fully_initialized:
            self.read_annotations()
            self._forget_bad()
            for transform in self.pipeline.transforms:
                if hasattr(transform, 'check_dataset'):
                    transform.check_dataset(self)

    def read_annotations(self) -> None:
        """Finds the samples, as MMEngine's datasets do."""
        super().full_init()

    def _forget_bad(self):
        # Shared before the loader starts its workers, forked or spawned.
        self._bad = torch.zeros(len(self), dtype=torch.bool).share_memory_()
        self._told = torch.zeros(1, dtype=torch.bool).share_memory_()

    def get_subset(self, indices):
        """A subset with a count of its own; see MMEngine's BaseDataset."""
        subset = super().get_subset(indices)
        subset._forget_bad()
        return subset

    def get_subset_(self, indices):
        """Reduces this set to a subset; see MMEngine's BaseDataset."""
        super().get_subset_(indices)
        self._forget_bad()

    def load(self, info: dict) -> Optional[np.ndarray]:
        """Image of a sample, see :meth:`decode`.

        None if it is left out; ``info['unreadable']`` then holds the reason.
        """
        try:
            data = self.read(info)
            img = self.decode(data)
            if self.channels is None and not self._told:
                self._tell_loss(info, told_loss(data))
            if min(img.shape[:2]) < self.min_size:
                raise ValueError(
                    f'{img.shape[0]} x {img.shape[1]} px, less than min_size={self.min_size}'
                )
            return img
        except (ValueError, OSError) as error:
            info['unreadable'] = printable(str(error))
            return None

    def decode(self, data: bytes) -> np.ndarray:
        """Decodes an image: (H, W, 3) uint8 RGB, or (H, W, C) of ``bits`` bits.

        Raises:
            ValueError: If the data are no such image.
        """
        if self.channels is None:
            return decode_checked(data, self.max_pixels)
        return decode_bands(data, self.channels, self.bits, self.max_pixels)

    def read(self, info: dict) -> bytes:
        """The content of a sample's file.

        Raises:
            OSError: If it cannot be read.
        """
        return read_file(info['img_path'])

    def prepare_data(self, idx: int):
        """Loads an image, or its replacement, and runs the pipeline."""
        rng, position = None, idx
        while True:
            info = self.get_data_info(position)
            img = self.load(info)
            if img is not None:
                break
            self._count_bad(info)
            rng = rng or np.random.default_rng(int(info['sample_idx']))
            position = int(rng.integers(len(self)))
            if isinstance(idx, SampleIndex):
                position = idx.moved(position)
        if self.channels is not None:
            info['channels'] = self.channels
        info.update(img=img, img_shape=img.shape[:2], ori_shape=img.shape[:2])
        return self.pipeline(info)

    def unreadable(self) -> torch.Tensor:
        """(N,) bool: images that this process and its workers could not decode so far."""
        return self._bad.clone()

    def _tell_loss(self, info: dict, lost: str) -> None:
        if lost:
            self._told[0] = True
            print_log(
                f'{printable(info["img_path"])}: {lost}, and so in all such images; channels= '
                'and bits= (--channels, --bits) keep them',
                logger='current',
                level=30,
            )

    def _count_bad(self, info: dict) -> None:
        idx = info['sample_idx']
        if not self._bad[idx]:
            self._bad[idx] = True
            reason = info.get('unreadable') or 'unreadable or truncated'
            print_log(
                f'skipped {printable(info["img_path"])}: {reason}', logger='current', level=30
            )
        # Also with every image known as bad: the search must end.  Of a copy:
        # nonzero() asserts if another worker writes while it counts.
        bad = self._bad.clone().nonzero()[:, 0].tolist()
        if len(bad) > self.max_bad * len(self) or len(bad) == len(self):
            first = [printable(self.get_data_info(i)['img_path']) for i in bad[:3]]
            raise UnreadableImages(
                f'{len(bad)} of {len(self)} images are unreadable or '
                f'truncated, more than {self.max_bad:.3g} of all (max_bad, --max-bad); '
                f'among them: {", ".join(first)}'
            )
