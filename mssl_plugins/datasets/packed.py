"""Images packed into one file, decoded as those of a folder are."""

import os
import zipfile
import zlib
from typing import Dict, List, Optional

import numpy as np

from mssl_plugins.datasets.base import DecodingDataset
from mssl_plugins.registry import DATASETS


def _check_packed(packed: Dict[str, np.ndarray]) -> int:
    """How many images a file holds.

    Raises:
        ValueError: If its arrays do not fit each other.
    """
    data, off = packed['data'], packed['off']
    if data.dtype != np.uint8 or data.ndim != 1 or off.dtype.kind not in 'iu' or off.ndim != 1:
        raise ValueError(
            'data must be (bytes,) uint8 and off (n + 1,) integers, got '
            f'{data.dtype} {data.shape} and {off.dtype} {off.shape}'
        )
    count = len(off) - 1
    for key, shape in (('label', (count,)), ('box', (count, 4))):
        if key in packed and (packed[key].shape != shape or packed[key].dtype.kind not in 'iuf'):
            raise ValueError(
                f'{key} must be {shape} numbers, got {packed[key].dtype} {packed[key].shape}'
            )
    return count


@DATASETS.register_module()
class PackedImages(DecodingDataset):
    """Images packed into one ``.npz`` file as their encoded bytes.

    The file holds ``data`` (uint8, all files one after another) and ``off``
    (n + 1 offsets into it), and may hold ``label`` (n,), ``classes`` (names)
    and ``box`` (n, 4; x0, y0, x1, y1 in px).  Samples are those of
    :class:`~mssl_plugins.datasets.folder.ImageFolder`, with ``gt_bboxes`` (float32 (1, 4)) and
    ``gt_bboxes_labels`` (int64 (1,)) where there are boxes.

    Args:
        ann_file (str): The file, below ``data_root`` if relative.
        data_root (str): Defaults to ''.
        cache (bool): Whether to decode all images once and keep them, if
            that takes at most ``cache_mib``. Defaults to True.
        cache_mib (int): Defaults to 1024.
        max_bad (float): See :class:`DecodingDataset`. Defaults to 0.01.
        **kwargs: Those of :class:`DecodingDataset`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no such file, or empty.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        cache: bool = True,
        cache_mib: int = 1024,
        **kwargs,
    ):
        self.cache = cache
        self.cache_mib = cache_mib
        self._cached = {}
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Reads the file; one entry for each image.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is damaged, of another kind, or has no image.
        """
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(f'no file {self.ann_file}')
        try:
            # allow_pickle stays off: a stranger's file runs no code
            with np.load(self.ann_file) as packed:
                packed = {key: packed[key] for key in packed}
            self._data, self._off = packed['data'], packed['off']
            count = _check_packed(packed)
        except (
            KeyError,
            ValueError,
            AttributeError,
            TypeError,
            OSError,
            EOFError,
            NotImplementedError,
            RuntimeError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise ValueError(
                f'{self.ann_file} is no whole file of packed images: .npz with '
                f'data and off ({error})'
            ) from error
        if count < 1:
            raise ValueError(f'no image in {self.ann_file}')
        if 'classes' in packed:
            self._metainfo.setdefault('classes', tuple(map(str, packed['classes'])))
        data = []
        for i in range(count):
            info = dict(packed_at=i, img_path=f'{self.ann_file}/{i:05d}')
            if 'label' in packed:
                info['gt_label'] = int(packed['label'][i])
            if 'box' in packed:
                info['gt_bboxes'] = packed['box'][i : i + 1].astype(np.float32)
                info['gt_bboxes_labels'] = np.array([info.get('gt_label', 0)], np.int64)
            data.append(info)
        return data

    def full_init(self):
        """Reads the file; decodes all images if they are to be cached."""
        if self._fully_initialized:
            return
        super().full_init()
        left = self.cache_mib * 2**20 if self.cache else 0
        cached = {}
        for idx in range(len(self) if left else 0):
            info = self.get_data_info(idx)
            img = cached[info['packed_at']] = self.load(info)
            left -= 0 if img is None else img.nbytes
            if left < 0:
                return
        self._cached = cached

    def read(self, info: dict) -> bytes:
        """The encoded bytes of a sample."""
        start, end = self._off[info['packed_at'] : info['packed_at'] + 2]
        return self._data[start:end].tobytes()

    def load(self, info: dict) -> Optional[np.ndarray]:
        """Image of a sample, uint8 (H, W, 3) RGB; None if it is left out."""
        img = self._cached.get(info['packed_at'])
        # a copy, for a transform may write into the image it is given
        return super().load(info) if img is None else img.copy()
