"""Images in shards, with the same samples, order and replacements as those of a folder."""

import os
import threading
from collections import OrderedDict
from typing import Dict, List, Optional, Tuple, Union

import cv2
import numpy as np

from mssl_plugins.datasets import listing
from mssl_plugins.datasets.folder import ImageFolder
from mssl_plugins.datasets.image_io import decode_labels, printable
from mssl_plugins.datasets.lmdb_shard import LmdbShard
from mssl_plugins.datasets.shards import SUFFIXES, Shard, TarShard, find_shards, is_shard
from mssl_plugins.datasets.tables import ArrowShard, ParquetShard
from mssl_plugins.errors import unknown
from mssl_plugins.files import read_lines
from mssl_plugins.registry import DATASETS

KINDS = dict(zip(SUFFIXES, (TarShard, ParquetShard, ArrowShard, LmdbShard, LmdbShard)))
CLASSES = 'classes.txt'
OPEN = 8  # tables that a process keeps open
SEGMENTS_CHOICES = (True, False, 'some')


class _Opened(OrderedDict):
    """The open shards of this process; a copy of it, or another process, starts with none."""

    process = None

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def __reduce__(self):
        return type(self), ()

    def take(self, path: str, *options) -> Shard:
        """The open shard, or a newly opened one in place of the one unused for longest."""
        with self.lock:
            if self.process != os.getpid():
                self.clear()
                self.process = os.getpid()
            if path not in self:
                while len(self) >= OPEN:
                    self.popitem(last=False)
                kind = KINDS[os.path.splitext(path)[1].lower()]
                self[path] = kind(path, *options)
            self.move_to_end(path)
            return self[path]


@DATASETS.register_module()
class ImageShards(ImageFolder):
    """Images in tar files (WebDataset), Parquet or Arrow files (Hugging Face), or LMDBs.

    Samples are those of :class:`ImageFolder`; ``img_path`` is the shard's path followed by
    the name in it.  Parquet, Arrow and LMDB need
    ``pip install 'mssl-plugins-openmmlab[shards]'``.  The index, which says where in its
    shard each image lies, is kept as in :mod:`~mssl_plugins.datasets.listing`.

    Args:
        data_root (str): A shard, or a folder of shards.
        shards (str): Pattern of their file names. Defaults to ``'*'``.
        list_file (str): Text file below ``data_root`` with the images to take, one
            ``SHARD/NAME`` a line. Defaults to '': all.
        labels (bool | str): True: every image has a class (``KEY.cls`` in a tar file or
            LMDB, a column such as ``label`` in a table). False: no class is read.
            ``'auto'``: classes are read if every image has one. Defaults to ``'auto'``.
        classes (Sequence[str] | str, optional): Names of the classes, or a file
            with one a line. Defaults to None: those in ``classes.txt`` beside the
            shards, or in the table.
        image (str, optional): The field of a tar file's samples (or several, separated by
            ``;``), or the column of a table, that holds the image. Defaults to None: every
            member with an image's suffix, or the first column that looks like images.
        segments (bool | str): Whether samples get the ``segments`` that lie beside
            the images ((H, W), 0 = none). ``'some'``: images without any get a map of
            zeros. Defaults to False.
        **kwargs: Those of :class:`ImageFolder`.

    Raises:
        FileNotFoundError: If the shard, the folder or the list does not exist.
        ValueError: If there is no shard or no image, a shard is damaged, or labels or
            segments are missing.
        UserError: If the package that reads a kind of shard is not installed.
    """

    def __init__(
        self,
        data_root: str,
        shards: str = '*',
        image: Optional[str] = None,
        segments: Union[bool, str] = False,
        **kwargs,
    ):
        if segments not in SEGMENTS_CHOICES:
            raise unknown(segments, SEGMENTS_CHOICES, 'value of segments')
        root = os.path.expanduser(data_root)
        if os.path.isfile(root):
            if not is_shard(root):
                raise unknown(os.path.splitext(root)[1], SUFFIXES, 'kind of shard')
            root, shards = os.path.split(os.path.abspath(root))
        beside = os.path.join(root, CLASSES)
        if kwargs.get('classes') is None and os.path.isfile(beside):
            kwargs['classes'] = beside
        self.shards, self.image, self.segments = shards, image, segments
        self._opened = _Opened()
        super().__init__(data_root=root, **kwargs)

    def key(self) -> dict:
        """See :meth:`ImageFolder.key`."""
        complete = self.segments is True  # it is checked when the index is made
        return dict(super().key(), shards=self.shards, image=self.image, complete=complete)

    def find(self, stamps: Dict[str, list]) -> Tuple[List[str], Optional[List[int]]]:
        """Reads the index of every shard.

        Args:
            stamps (dict[str, list]): Gets a stamp of every shard and folder.

        Returns:
            tuple: N records (shard, name, place and, if there are segments, their place,
            separated by zero bytes), and N labels or None.

        Raises:
            FileNotFoundError: If the folder or the list does not exist.
            ValueError: If there is no shard or no image, a shard is damaged, or labels or
                segments are missing.
        """
        root = self.img_prefix
        if not os.path.isdir(root):
            raise FileNotFoundError(f'no folder {root}')
        shards = find_shards(root, self.shards)
        if not shards:
            raise ValueError(
                f'no shard in {root}: looked for files {self.shards} that end with '
                f'{", ".join(SUFFIXES)}'
            )
        for place in {os.path.dirname(os.path.join(root, shard)) for shard in shards} | {root}:
            stamps[place] = listing.stamp(os.stat(place))
        wanted = self._wanted()
        records, labels, bare, left = [], [], [], set(wanted or ())
        for shard in shards:
            path = os.path.join(root, shard)
            stamps[path] = listing.stamp(os.stat(path))
            opened = self._opened.take(path, self.image, self.extensions)
            for entry in opened.entries():
                name = f'{shard}/{entry.name}'
                if wanted is not None:
                    if name not in left:
                        continue
                    left.remove(name)
                parts = (shard, entry.name, entry.place, entry.segments)
                records.append('\0'.join(part for part in parts if part is not None))
                labels.append(entry.label)
                if entry.segments is None:
                    bare.append(name)
            if opened.classes:
                self._metainfo.setdefault('classes', opened.classes)
        if left:
            raise ValueError(
                f'{self.ann_file} names {printable(min(left))}, which no shard in {root} holds'
            )
        if not records:
            raise ValueError(
                f'no image in the {len(shards)} shards of {root}: looked for names that end with '
                f'{", ".join(self.extensions)}'
            )
        if bare and self.segments is True:
            raise ValueError(
                f'{len(bare)} of {len(records)} images have no segments beside them: '
                f'{", ".join(map(printable, bare[:3]))}; pack them with --segments, or train '
                'with --allow-missing, which gives them none'
            )
        return records, self._labels(records, labels)

    def _wanted(self) -> Optional[set]:
        if not self.ann_file:
            return None
        if not os.path.isfile(self.ann_file):
            raise FileNotFoundError(f'no list {self.ann_file}')
        return {line for line in read_lines(self.ann_file) if line}

    def _labels(self, records: List[str], labels: List[Optional[int]]) -> Optional[List[int]]:
        if self.labels is False or self.labels == 'auto' and None in labels:
            return None
        if None in labels:
            name = '/'.join(records[labels.index(None)].split('\0')[:2])
            raise ValueError(f'no label for {printable(name)}: set labels=False')
        count = len(self.CLASSES or ()) or max(labels) + 1
        if max(labels) >= count:
            raise ValueError(f'label {max(labels)}: must be 0 to {count - 1}, the classes')
        return labels

    def describe(self, record: str) -> dict:
        """See :meth:`ImageFolder.describe`."""
        shard, name, place, *segments = record.split('\0')
        path = os.path.join(self.img_prefix, shard)
        info = dict(img_path=f'{path}/{name}', shard=path, place=place)
        return dict(info, segments_at=segments[0]) if segments else info

    def read(self, info: dict) -> bytes:
        """The encoded bytes of a sample.

        Raises:
            ValueError: If the shard is damaged.
        """
        return self._opened.take(info['shard'], self.image, self.extensions).read(info['place'])

    def load(self, info: dict) -> Optional[np.ndarray]:
        """Image of a sample; its segments, (H, W) uint8 or uint16, go into ``info``."""
        img = super().load(info)
        if img is None or not self.segments:
            return img
        shape, labels = img.shape[:2], np.zeros(img.shape[:2], np.uint8)
        if 'segments_at' in info:
            labels = self._read_labels(info)
            if labels is None:
                info['unreadable'] = 'its segments are damaged'
                return None
        if labels.shape != shape:
            labels = cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        info['segments'] = labels
        return img

    def _read_labels(self, info: dict) -> Optional[np.ndarray]:
        try:
            opened = self._opened.take(info['shard'], self.image, self.extensions)
            return decode_labels(opened.read(info['segments_at']))
        except (ValueError, OSError):
            return None
