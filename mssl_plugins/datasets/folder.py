"""Images of a folder, in any of the usual layouts.

Our own; no paper prescribes it.  Every dataset here decodes in the dataset
itself, so that an unreadable or truncated image can be skipped and counted:
``results['img']`` is uint8 (H, W, 3) RGB, or has the channels that the set keeps,
and no loading transform is needed.

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
import time
from collections import Counter, deque
from typing import Dict, List, Optional, Sequence, Tuple, Union

from mmengine.dataset.base_dataset import force_full_init

from mssl_plugins.datasets import listing
from mssl_plugins.datasets.bands import NPY
from mssl_plugins.datasets.base import DecodingDataset
from mssl_plugins.datasets.image_io import EXTENSIONS, printable
from mssl_plugins.datasets.stores import Store
from mssl_plugins.errors import unknown
from mssl_plugins.files import read_lines
from mssl_plugins.registry import DATASETS


@DATASETS.register_module()
class ImageFolder(DecodingDataset):
    """Any folder of images, labeled by sub-folder, by a list or not at all.

    Files are taken in sorted order, whatever the file system's; names with a
    leading dot are left out.  The listing of a large set is kept below
    ``~/.cache/mssl_plugins`` (``XDG_CACHE_HOME``) until a folder of it, or its
    list, changes; all processes map that one file.  A sample has ``img``
    (uint8 (H, W, 3) RGB, or see ``channels`` of :class:`DecodingDataset`), ``img_path``,
    ``sample_idx``, ``img_shape``, ``ori_shape`` and, if labeled, ``gt_label``.

    Args:
        data_root (str): Folder of the dataset.
        data_prefix (str): Folder of the images below it. Defaults to ''.
        list_file (str): Text file below ``data_root`` with a line
            ``path`` or ``path label`` for each image, paths relative to the
            images' folder; labels are numbers, or names of classes. Defaults
            to '', which scans the folder.
        labels (bool | str): True: the first sub-folder, or the list, is the
            label. False: no labels. ``'auto'``: labels if every line of the
            list has one, or if every image lies in one of two or more
            sub-folders. Defaults to ``'auto'``.
        classes (Sequence[str] | str, optional): Names of the classes, or a
            file with one a line. In a folder, only these sub-folders are
            taken, labeled in this order. Defaults to None: the sub-folders'
            names, sorted.
        extensions (Sequence[str], optional): Suffixes of the files to take; upper and lower
            case are the same. Defaults to None: the usual ones, with ``channels`` also
            ``.npy``.
        backend_args (dict, optional): Where the files are if not on this machine, for
            example ``dict(backend='http')``, see
            :class:`~mssl_plugins.datasets.stores.Store`. ``list_file`` then names the
            images; the list itself is here or there. Defaults to None.
        max_bad (float): See :class:`DecodingDataset`. Defaults to 0.01.
        **kwargs: Those of :class:`DecodingDataset`.

    Raises:
        FileNotFoundError: If the folder or the list does not exist.
        ValueError: If no image is found, the labels do not fit, or ``backend_args``
            is given without ``list_file``.
    """

    def __init__(
        self,
        data_root: str,
        data_prefix: str = '',
        list_file: str = '',
        labels: Union[bool, str] = 'auto',
        classes: Union[str, Sequence[str], None] = None,
        extensions: Optional[Sequence[str]] = None,
        backend_args: Optional[dict] = None,
        **kwargs,
    ):
        if backend_args is not None and not list_file:
            raise ValueError('backend_args: a store is not searched, name its files by list_file')
        self.store = None if backend_args is None else Store(backend_args)
        if labels not in (True, False, 'auto'):
            raise ValueError(f"labels must be True, False or 'auto', got {labels!r}")
        self.labels = labels
        if extensions is None:
            extensions = extensions_of(kwargs.get('channels'))
        self.extensions = tuple(e.lower() for e in extensions)
        super().__init__(
            data_root=os.path.expanduser(data_root),
            data_prefix=data_prefix,
            ann_file=list_file,
            classes=classes,
            **kwargs,
        )

    def _join_prefix(self) -> None:
        """Joins paths in a store here: not every back end of MMEngine's does it."""
        if self.store is None:
            super()._join_prefix()
            return
        root = self.data_root and f'{self.data_root.rstrip("/")}/'
        if not os.path.isfile(self.ann_file):
            self.ann_file = f'{root}{self.ann_file}'
        self.data_prefix = {k: f'{root}{v}' for k, v in self.data_prefix.items()}

    def key(self) -> dict:
        """Everything besides the files that the listing depends on, in JSON's types."""
        return dict(
            kind=type(self).__name__,
            folder=os.path.abspath(self.img_prefix),
            list_file=self.ann_file and os.path.abspath(self.ann_file),
            labels=self.labels,
            classes=self.CLASSES and list(self.CLASSES),
            extensions=list(self.extensions),
        )

    def describe(self, record: str) -> dict:
        """The fields of a sample that follow from its path in the listing."""
        return dict(img_path=os.path.join(self.img_prefix, record))

    def read_annotations(self) -> None:
        """Maps the listing of an earlier start, or makes one."""
        if not self.serialize_data:
            super().read_annotations()
            return
        key = self.key()
        found = listing.kept(key)
        if found is None:
            began, stamps = time.time(), {}
            if os.path.isfile(self.ann_file):
                stamps[self.ann_file] = listing.stamp(os.stat(self.ann_file))
            paths, labels = self.find(stamps)
            found = listing.pack(paths, labels, self._metainfo.get('classes'))
            if stamps:  # otherwise it is in a store, which does not tell of changes
                listing.keep(key, stamps, found, began)
        elif found.classes:
            self._metainfo.setdefault('classes', found.classes)
        self.data_bytes, self.data_address = found.records, found.ends
        self._fully_initialized = True  # now, because taking a subset calls len(self)
        if self._indices is not None:
            part = self._indices
            if isinstance(part, int):
                every = range(len(found.ends))
                part = every[:part] if part >= 0 else every[part:]
            self.data_bytes, self.data_address = self._get_serialized_subset(part)

    @force_full_init
    def get_data_info(self, idx: int) -> dict:
        """Path, label (if any) and index of a sample."""
        if not self.serialize_data:
            return super().get_data_info(idx)
        idx = idx if idx >= 0 else len(self) + idx
        start = self.data_address[idx - 1] if idx else 0
        record = self.data_bytes[start : self.data_address[idx]].tobytes()
        path, label = listing.unpack(record)
        info = dict(self.describe(path), sample_idx=idx)
        return info if label is None else dict(info, gt_label=label)

    def load_data_list(self) -> List[dict]:
        """Scans the folder or reads the list, into one dict for each image."""
        paths, labels = self.find({})
        data = [self.describe(path) for path in paths]
        for info, label in zip(data, labels or ()):
            info['gt_label'] = label
        return data

    def find(self, stamps: Dict[str, list]) -> Tuple[List[str], Optional[List[int]]]:
        """Scans the folder or reads the list.

        Args:
            stamps (dict[str, list]): Gets a stamp of every folder that is
                listed, see :mod:`~mssl_plugins.datasets.listing`.

        Returns:
            tuple: N paths relative to the images' folder, and N labels or None.

        Raises:
            FileNotFoundError: If the folder or the list does not exist.
            ValueError: If no image is found, or the labels do not fit.
        """
        if self.store is None and not os.path.isdir(self.img_prefix):
            raise FileNotFoundError(f'no folder {self.img_prefix}')
        if self.ann_file:
            paths, names = self._read_list()
        else:
            paths = scan(self.img_prefix, self.extensions, stamps)
            names = [p.split('/', 1)[0] if '/' in p else None for p in paths]
            if (
                self.labels == 'auto'
                and not self.CLASSES
                and (None in names or len(set(names)) < 2)
            ):
                names = [None] * len(names)
        if not paths:
            raise ValueError(
                f'no image in {self.ann_file or self.img_prefix}: looked for '
                f'files ending with {", ".join(self.extensions)}'
            )
        if self.labels is False or (
            self.labels == 'auto' and not self.CLASSES and set(names) == {None}
        ):
            return paths, None
        return self._number(paths, names)

    def _read_list(self):
        """Paths and their label texts (None: no label)."""
        here = os.path.isfile(self.ann_file)
        if not here and self.store is None:
            raise FileNotFoundError(f'no list {self.ann_file}')
        paths, names = [], []
        for line in read_lines(self.ann_file) if here else self._lines_there():
            line = line.strip()
            # A path may contain spaces: what ends like an image is all path.
            whole = line.lower().endswith(self.extensions)
            parts = [line] if whole else line.rsplit(None, 1)
            if line:
                paths.append(parts[0])
                names.append(parts[1] if len(parts) == 2 else None)
        return paths, names

    def _lines_there(self) -> List[str]:
        try:
            return self.store.get(self.ann_file).decode(errors='surrogateescape').split('\n')
        except OSError as error:
            raise FileNotFoundError(f'no list {self.ann_file} ({error})') from None

    def read(self, info: dict) -> bytes:
        """The content of a sample's file."""
        return super().read(info) if self.store is None else self.store.get(info['img_path'])

    def _number(self, paths, names):
        """Turns names of classes, or numbers in a list, into labels."""
        if None in names:
            raise ValueError(
                f'no label for {paths[names.index(None)]} in '
                f'{self.ann_file or self.img_prefix}: give one to every image '
                'or set labels=False'
            )
        if self.ann_file and all(n.lstrip('-').isdigit() for n in names):
            labels = [int(n) for n in names]
            count = len(self.CLASSES or ()) or max(labels) + 1
            for path, label in zip(paths, labels):
                if not 0 <= label < count:
                    raise ValueError(
                        f'label {label} of {path} in {self.ann_file}: must be 0 to {count - 1}'
                    )
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


def extensions_of(channels: Optional[int]) -> Tuple[str, ...]:
    """Suffixes of images, with ``.npy`` if the images keep their channels."""
    return EXTENSIONS if channels is None else (*EXTENSIONS, NPY)


def scan(
    folder: str,
    extensions: Sequence[str] = EXTENSIONS,
    stamps: Optional[Dict[str, list]] = None,
) -> List[str]:
    """All image files below a folder, in sorted order.

    Only regular files count; pipes and devices are left out.  A file that
    several links lead to is found once: under its own path, or else under the
    first link.  The same holds for folders; a link to a parent folder is not
    followed.

    Args:
        folder (str): Where to look; links are followed.
        extensions (Sequence[str]): Suffixes in lower case. Defaults to those of
            images.
        stamps (dict[str, list], optional): Gets a stamp of every folder that is
            listed, see :mod:`~mssl_plugins.datasets.listing`. Defaults to None.

    Returns:
        list[str]: Paths relative to the folder, with ``/``.

    Raises:
        OSError: If the folder itself cannot be listed.
    """
    found, seen, waiting = {}, set(), deque([''])
    linked: List[str] = []  # after all that lies here itself
    while waiting or linked:
        if not waiting:
            linked.sort()
            waiting.append(linked.pop(0))
        below = waiting.popleft()
        place = os.path.join(folder, below)
        try:
            here = os.stat(place)
            if stamps is not None:
                stamps[place] = listing.stamp(here)
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            if not below:
                raise
            continue  # a folder that may not be read
        if (here.st_dev, here.st_ino) in seen:
            continue
        seen.add((here.st_dev, here.st_ino))
        for entry in entries:
            path = f'{below}/{entry.name}' if below else entry.name
            if entry.name[0] == '.':
                continue
            try:
                folder_below = entry.is_dir()
            except OSError:  # a link to itself
                continue
            if folder_below:
                (linked if entry.is_symlink() else waiting).append(path)
            elif entry.name.lower().endswith(extensions) and entry.is_file():
                link = entry.is_symlink()
                key = (here.st_dev, entry.inode())
                if link:
                    info = entry.stat()
                    key = (info.st_dev, info.st_ino)
                old = found.get(key)
                found[key] = min((link, path), old) if old else (link, path)
    return sorted(path for _, path in found.values())


def other_files(folder: str, extensions: Tuple[str, ...] = EXTENSIONS) -> Dict[str, int]:
    """Numbers of the files without an image's suffix, by suffix; hidden ones are left out."""
    found: Counter = Counter()
    for _, below, names in os.walk(folder):
        below[:] = [name for name in below if name[0] != '.']
        found.update(
            printable(os.path.splitext(name)[1].lower()) or 'without suffix'
            for name in names
            if name[0] != '.' and not name.lower().endswith(extensions)
        )
    return dict(found)


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
            raise FileNotFoundError(f'no {wnids}: is {data_root} the unpacked Tiny-ImageNet?')
        kwargs.setdefault('classes', sorted(read_lines(wnids)))
        super().__init__(
            data_root,
            data_prefix='train' if split == 'train' else 'val/images',
            list_file='' if split == 'train' else 'val/val_annotations.txt',
            **kwargs,
        )

    def _read_list(self):
        """Reads ``val_annotations.txt``: name, wnid and a box, separated by tabs."""
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(f'no list {self.ann_file}')
        rows = [line.split('\t') for line in read_lines(self.ann_file) if line.strip()]
        return [r[0] for r in rows], [r[1] for r in rows]
