"""Images from disk: folders, the usual layouts, and packed bundles.

Our own; no paper prescribes it.  Every dataset here decodes in the dataset
itself, so that an unreadable or truncated image can be skipped and counted:
``results['img']`` is uint8 (H, W, 3) RGB and no loading transform is needed.

The usual layouts:

- ImageNet: ``ImageFolder('imagenet', 'train')``, and
  ``ImageFolder('imagenet', 'val')`` if sorted into folders, otherwise
  ``ImageFolder('imagenet', 'val', list_file='meta/val.txt')``
- Tiny-ImageNet as unpacked: :class:`TinyImageNet`
- CIFAR-10 and CIFAR-100 as downloaded: ``mmpretrain.CIFAR10`` and
  ``mmpretrain.CIFAR100``, which give ``img`` in the same form and unpickle
  nothing whose checksum is not the published one
"""
import os
import zipfile
from typing import List, Optional, Sequence, Union

import cv2
import mmengine
import numpy as np
import torch
from mmengine.logging import print_log
from mmpretrain.datasets import BaseDataset

from mssl_plugins.registry import DATASETS
from mssl_plugins.errors import unknown
from mssl_plugins.datasets.sampler import SampleIndex

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.pgm', '.tif',
              '.tiff', '.webp')


class UnreadableImages(RuntimeError):
    """More images than allowed cannot be decoded."""


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG file ends too early.

    OpenCV before 5 decodes a truncated JPEG to a picture with a gray lower
    part and says nothing.

    Args:
        data (bytes): The file's content.

    Returns:
        bool: True if the end marker is missing behind the start of the
        picture data; False for a whole file, bytes behind its end or not,
        and for other formats, whose decoders notice.
    """
    if data.startswith(b'\x89PNG'):
        return data.rfind(b'IEND\xaeB`\x82') < 0
    if not data.startswith(b'\xff\xd8'):
        return False
    # Hop over the header segments: the thumbnail of a camera's picture, in
    # one of them, has an end marker of its own.
    at = 2
    while data[at:at + 1] == b'\xff' and data[at + 1:at + 2] != b'\xda':
        fill = data[at + 1:at + 2] == b'\xff'
        at += 1 if fill else 2 + int.from_bytes(data[at + 2:at + 4], 'big')
    return data.rfind(b'\xff\xd9', at) < 0


def decode(data: bytes) -> Optional[np.ndarray]:
    """Decode an image file's content.

    Args:
        data (bytes): The content.

    Returns:
        np.ndarray | None: uint8 (H, W, 3) RGB, turned as EXIF says, or None
        if the content is no image or a truncated one.
    """
    if not data or is_truncated(data):
        return None
    try:
        img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if img is None else cv2.cvtColor(img, cv2.COLOR_BGR2RGB, img)


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
        info.update(
            img=img, img_shape=img.shape[:2], ori_shape=img.shape[:2])
        return self.pipeline(info)

    def _count_bad(self, idx: int, name: str) -> None:
        if not self._bad[idx]:
            self._bad[idx] = True
            print_log(
                f'skipped {name}: unreadable or truncated',
                logger='current',
                level=30)
        # Also with every image known as bad: the search must end.
        bad = self._bad.nonzero()[:, 0].tolist()
        if len(bad) > self.max_bad * len(self) or len(bad) == len(self):
            first = [self.get_data_info(i)['img_path'] for i in bad[:3]]
            raise UnreadableImages(
                f'{len(bad)} of {len(self)} images are unreadable or '
                f'truncated, more than {self.max_bad:.3g} of all; among '
                f'them: {", ".join(first)}')


@DATASETS.register_module()
class ImageFolder(DecodingDataset):
    """Any folder of images, labelled by sub-folder, by a list or not at all.

    Files are taken in sorted order, whatever the file system's; names with a
    leading dot are passed over.  A sample has ``img`` (uint8 (H, W, 3) RGB),
    ``img_path``, ``sample_idx``, ``img_shape``, ``ori_shape`` and, if
    labelled, ``gt_label``.

    Args:
        data_root (str): Folder of the dataset.
        data_prefix (str): Folder of the images below it. Defaults to ''.
        list_file (str): Text file below ``data_root`` with a line
            ``path`` or ``path label`` an image, paths from the images'
            folder on; labels are numbers, or names of classes. Defaults to
            '', which scans the folder.
        labels (bool | str): True: the first sub-folder, or the list, is the
            label. False: no labels. ``'auto'``: labels if every line of the
            list has one, or if every image lies in one of two or more
            sub-folders. Defaults to ``'auto'``.
        classes (Sequence[str] | str, optional): Names of the classes, or a
            file with one a line. In a folder, only these sub-folders are
            taken, labelled in this order. Defaults to None: the sub-folders'
            names, sorted.
        extensions (Sequence[str]): File names to take end so, in small or
            capital letters. Defaults to the usual ones.
        max_bad (float): See :class:`DecodingDataset`. Defaults to 0.01.
        **kwargs: Those of MMPretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: If the folder or the list does not exist.
        ValueError: If no image is found, or the labels do not fit.
    """

    def __init__(self,
                 data_root: str,
                 data_prefix: str = '',
                 list_file: str = '',
                 labels: Union[bool, str] = 'auto',
                 classes: Union[str, Sequence[str], None] = None,
                 extensions: Sequence[str] = EXTENSIONS,
                 **kwargs):
        if labels not in (True, False, 'auto'):
            raise ValueError(
                f"labels must be True, False or 'auto', got {labels!r}")
        self.labels = labels
        self.extensions = tuple(e.lower() for e in extensions)
        super().__init__(
            data_root=os.path.expanduser(data_root),
            data_prefix=data_prefix,
            ann_file=list_file,
            classes=classes,
            **kwargs)

    def load_data_list(self) -> List[dict]:
        """Scan the folder or read the list."""
        if not os.path.isdir(self.img_prefix):
            raise FileNotFoundError(f'no folder {self.img_prefix}')
        if self.ann_file:
            paths, names = self._read_list()
        else:
            paths = scan(self.img_prefix, self.extensions)
            names = [p.split('/', 1)[0] if '/' in p else None for p in paths]
            if self.labels == 'auto' and not self.CLASSES and (
                    None in names or len(set(names)) < 2):
                names = [None] * len(names)
        if not paths:
            raise ValueError(
                f'no image in {self.ann_file or self.img_prefix}: looked for '
                f'files ending with {", ".join(self.extensions)}')
        if self.labels is False or (self.labels == 'auto' and not self.CLASSES
                                    and set(names) == {None}):
            labels = None
        else:
            paths, labels = self._number(paths, names)
        data = [dict(img_path=os.path.join(self.img_prefix, p)) for p in paths]
        for info, label in zip(data, labels or ()):
            info['gt_label'] = label
        return data

    def _read_list(self):
        """Paths and what stands behind them (None: nothing)."""
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(f'no list {self.ann_file}')
        paths, names = [], []
        for line in mmengine.list_from_file(self.ann_file):
            line = line.strip()
            # A path may contain spaces: what ends like an image is all path.
            whole = line.lower().endswith(self.extensions)
            parts = [line] if whole else line.rsplit(None, 1)
            if line:
                paths.append(parts[0])
                names.append(parts[1] if len(parts) == 2 else None)
        return paths, names

    def _number(self, paths, names):
        """Turn names of classes, or numbers in a list, into labels."""
        if None in names:
            raise ValueError(
                f'no label for {paths[names.index(None)]} in '
                f'{self.ann_file or self.img_prefix}: give one to every image '
                'or set labels=False')
        if self.ann_file and all(n.lstrip('-').isdigit() for n in names):
            labels = [int(n) for n in names]
            count = len(self.CLASSES or ()) or max(labels) + 1
            for path, label in zip(paths, labels):
                if not 0 <= label < count:
                    raise ValueError(
                        f'label {label} of {path} in {self.ann_file}: must '
                        f'be 0 to {count - 1}')
            return paths, labels
        found = sorted(set(names))
        for name in self.CLASSES or ():
            if name not in found:
                raise unknown(name, found, 'class')
        if self.CLASSES and self.ann_file:
            for name in found:
                if name not in self.CLASSES:
                    raise unknown(name, self.CLASSES, 'class')
        self._metainfo.setdefault('classes', tuple(found))
        numbers = self.class_to_idx
        kept = [(p, numbers[n]) for p, n in zip(paths, names) if n in numbers]
        return [p for p, _ in kept], [label for _, label in kept]


def scan(folder: str, extensions: Sequence[str] = EXTENSIONS) -> List[str]:
    """All image files below a folder, in sorted order.

    Args:
        folder (str): Where to look; links are followed.
        extensions (Sequence[str]): Endings in small letters.

    Returns:
        list[str]: Paths from the folder on, with ``/``.
    """
    found = []
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith('.')]
        below = os.path.relpath(place, folder).replace(os.sep, '/')
        found += [
            name if below == '.' else f'{below}/{name}' for name in files
            if name.lower().endswith(extensions) and name[0] != '.'
        ]
    return sorted(found)


@DATASETS.register_module()
class TinyImageNet(ImageFolder):
    """Tiny-ImageNet as unpacked: ``train/<wnid>/images``, ``val/images``.

    Args:
        data_root (str): The unpacked folder, with ``wnids.txt``.
        split (str): ``'train'`` or ``'val'``; the labels of ``test`` were
            never published. Defaults to ``'train'``.
        **kwargs: Those of :class:`ImageFolder`. Labels are positions in the
            sorted ``wnids.txt`` in both splits.

    Raises:
        FileNotFoundError: If a file of the layout is missing.
        ValueError: If the split is unknown.
    """

    def __init__(self, data_root: str, split: str = 'train', **kwargs):
        if split not in ('train', 'val'):
            raise unknown(split, ('train', 'val'), 'split')
        self.split = split
        wnids = os.path.join(os.path.expanduser(data_root), 'wnids.txt')
        if not os.path.isfile(wnids):
            raise FileNotFoundError(
                f'no {wnids}: is {data_root} the unpacked Tiny-ImageNet?')
        kwargs.setdefault('classes',
                          sorted(mmengine.list_from_file(wnids)))
        super().__init__(
            data_root,
            data_prefix='train' if split == 'train' else 'val/images',
            list_file='' if split == 'train' else 'val/val_annotations.txt',
            **kwargs)

    def _read_list(self):
        """``val_annotations.txt``: name, wnid and a box, by tabs."""
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(f'no list {self.ann_file}')
        rows = [
            line.split('\t')
            for line in mmengine.list_from_file(self.ann_file) if line.strip()
        ]
        return [r[0] for r in rows], [r[1] for r in rows]


@DATASETS.register_module()
class PackedImages(DecodingDataset):
    """Images packed into one ``.npz`` file as their encoded bytes.

    The file holds ``data`` (uint8, all files one after another) and ``off``
    (n + 1 offsets into it), and may hold ``label`` (n,), ``classes`` (names)
    and ``box`` (n, 4; x0, y0, x1, y1 in px).  Samples are those of
    :class:`ImageFolder`, with ``gt_bboxes`` (float32 (1, 4)) and
    ``gt_bboxes_labels`` (int64 (1,)) where there are boxes.

    Args:
        ann_file (str): The file, below ``data_root`` if relative.
        data_root (str): Defaults to ''.
        cache (bool): Whether to decode all images once and keep them, if
            that takes at most ``cache_mib``. Defaults to True.
        cache_mib (int): Defaults to 1024.
        max_bad (float): See :class:`DecodingDataset`. Defaults to 0.01.
        **kwargs: Those of MMPretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no such file, or empty.
    """

    def __init__(self,
                 ann_file: str,
                 data_root: str = '',
                 cache: bool = True,
                 cache_mib: int = 1024,
                 **kwargs):
        self.cache = cache
        self.cache_mib = cache_mib
        self._cached = {}
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the file; one entry an image."""
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(f'no file {self.ann_file}')
        try:
            # allow_pickle stays off: a stranger's file runs no code
            with np.load(self.ann_file) as packed:
                packed = {key: packed[key] for key in packed}
            self._data, self._off = packed['data'], packed['off']
        except (KeyError, ValueError, AttributeError, TypeError, OSError,
                zipfile.BadZipFile) as error:
            raise ValueError(
                f'{self.ann_file} is no whole bundle of images: .npz with '
                f'data and off ({error})') from error
        count = len(self._off) - 1
        if count < 1:
            raise ValueError(f'no image in {self.ann_file}')
        if 'classes' in packed:
            self._metainfo.setdefault('classes',
                                      tuple(map(str, packed['classes'])))
        data = []
        for i in range(count):
            info = dict(packed_at=i, img_path=f'{self.ann_file}/{i:05d}')
            if 'label' in packed:
                info['gt_label'] = int(packed['label'][i])
            if 'box' in packed:
                info['gt_bboxes'] = packed['box'][i:i + 1].astype(np.float32)
                info['gt_bboxes_labels'] = np.array(
                    [info.get('gt_label', 0)], np.int64)
            data.append(info)
        return data

    def full_init(self):
        """Read the file and decode it if that is to be kept."""
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

    def load(self, info: dict) -> Optional[np.ndarray]:
        """Image of a sample, uint8 (H, W, 3) RGB; None if unreadable."""
        at = info['packed_at']
        if at not in self._cached:
            start, end = self._off[at:at + 2]
            return decode(self._data[start:end].tobytes())
        # a copy, for a transform may write into the image it is given
        img = self._cached[at]
        return None if img is None else img.copy()
