"""What the datasets of files share: decoding, and replacing what cannot be decoded."""

from typing import Optional

import numpy as np
import torch
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from mssl_plugins.datasets.image_io import decode
from mssl_plugins.datasets.sampler import SampleIndex


class UnreadableImages(RuntimeError):
    """More images than allowed cannot be decoded."""


class DecodingDataset(BaseDataset):
    """Base of the datasets here: decodes, replaces what it cannot decode.

    An unreadable image is replaced by another one of the dataset, which one
    depending on the index alone; all of the sample, ``sample_idx`` and
    ``gt_label`` included, is then the replacement's.  Unreadable images are
    counted in memory that all workers of a loader share.  Each process of a
    distributed run counts its own, against the length of the whole dataset.

    Args:
        max_bad (float): Fraction of the dataset that may be unreadable; one
            image more stops the run. Defaults to 0.01.
        **kwargs: Those of MMPretrain's ``BaseDataset``.

    Raises:
        UnreadableImages: On access, with the count and the first files.
        ValueError: If there is no image, or ``max_bad`` is not in 0 .. 1.
    """

    def __init__(self, max_bad: float = 0.01, lazy_init=False, **kwargs):
        if not 0 <= max_bad <= 1:
            raise ValueError(f'max_bad must be in 0 .. 1, got {max_bad}')
        self.max_bad = max_bad
        super().__init__(lazy_init=True, **kwargs)
        if not lazy_init:
            self.full_init()

    def full_init(self):
        """Scan; then make room for the count of unreadable images, and let
        transforms that need something of every image look whether it is there.
        """
        if not self._fully_initialized:
            super().full_init()
            self._forget_bad()
            for transform in self.pipeline.transforms:
                if hasattr(transform, 'check_dataset'):
                    transform.check_dataset(self)

    def _forget_bad(self):
        # Shared before the loader starts its workers, forked or spawned.
        self._bad = torch.zeros(len(self), dtype=torch.bool).share_memory_()

    def get_subset(self, indices):
        """A subset with a count of its own; see MMEngine's BaseDataset."""
        subset = super().get_subset(indices)
        subset._forget_bad()
        return subset

    def get_subset_(self, indices):
        """Reduce to a subset; see MMEngine's BaseDataset."""
        super().get_subset_(indices)
        self._forget_bad()

    def load(self, info: dict) -> Optional[np.ndarray]:
        """Image of a sample, uint8 (H, W, 3) RGB; None if unreadable."""
        try:
            with open(info['img_path'], 'rb') as file:
                return decode(file.read())
        except OSError:
            return None

    def prepare_data(self, idx: int):
        """Load an image, or its replacement, and run the pipeline."""
        rng, position = None, idx
        while True:
            info = self.get_data_info(position)
            img = self.load(info)
            if img is not None:
                break
            self._count_bad(info['sample_idx'], info['img_path'])
            rng = rng or np.random.default_rng(int(info['sample_idx']))
            position = int(rng.integers(len(self)))
            if isinstance(idx, SampleIndex):
                position = idx.moved(position)
        info.update(img=img, img_shape=img.shape[:2], ori_shape=img.shape[:2])
        return self.pipeline(info)

    def _count_bad(self, idx: int, name: str) -> None:
        if not self._bad[idx]:
            self._bad[idx] = True
            print_log(f'skipped {name}: unreadable or truncated', logger='current', level=30)
        # Also with every image known as bad: the search must end.
        bad = self._bad.nonzero()[:, 0].tolist()
        if len(bad) > self.max_bad * len(self) or len(bad) == len(self):
            first = [self.get_data_info(i)['img_path'] for i in bad[:3]]
            raise UnreadableImages(
                f'{len(bad)} of {len(self)} images are unreadable or '
                f'truncated, more than {self.max_bad:.3g} of all; among '
                f'them: {", ".join(first)}'
            )
