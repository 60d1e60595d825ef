"""Segments of images as they are stored.

Segments are made once for each image, offline, and kept in one store for a set
of images.

A segment store is a folder of zip archives (shards) with a ``segments.json`` that
says how they were made.  A member of a shard is the label map of an image, an 8-
or 16-bit gray PNG with 0 = no segment.  Its name is the image's path relative to
the root of its dataset, plus ``.png``.  Any zip program opens a shard, and reading
it runs no code.  The member's comment holds the height and width of the image in
px and a fingerprint, the mean green level of 4 x 4 cells, by which segments of
another image are noticed.  An image that could not be read has an empty member.
"""

import io
import json
import os
import re
import struct
import zipfile
import zlib
from hashlib import blake2b
from pathlib import Path
from typing import Iterable, List, NamedTuple, Tuple, Union

import cv2
import numpy as np

from mssl_plugins.datasets.image_io import decode_labels, printable
from mssl_plugins.files import write_atomically

FORMAT = 'mssl_plugins segments 1'
INDEX = 'segments.json'
CELLS = 4
MAX_DISTANCE = 8.0  # mean difference of fingerprints; more is another image


class Segments(NamedTuple):
    """The stored segments of one image.

    Attributes:
        key (str): The image's path relative to the root of its dataset, with
            ``/``.
        png (bytes): Label map; empty for an image that cannot be read.
        shape (Tuple[int, int]): Height and width of the image in px.
        fingerprint (np.ndarray): (16,) uint8, see :func:`fingerprint`.
    """

    key: str
    png: bytes
    shape: Tuple[int, int] = (0, 0)
    fingerprint: np.ndarray = np.zeros(CELLS**2, np.uint8)


def fingerprint(img: np.ndarray) -> np.ndarray:
    """A fingerprint of an image, the same for RGB and BGR.

    Args:
        img (np.ndarray): (H, W, 3) uint8.

    Returns:
        np.ndarray: (16,) uint8, mean green of 4 x 4 cells.
    """
    green = cv2.extractChannel(img, 1)
    if min(green.shape) < CELLS:
        green = cv2.resize(green, (CELLS, CELLS), interpolation=cv2.INTER_NEAREST)
    return cv2.resize(green, (CELLS, CELLS), interpolation=cv2.INTER_AREA).flatten()


def encode(key: str, labels: np.ndarray, img: np.ndarray) -> Segments:
    """The stored form of a label map.

    Args:
        key (str): The image's path relative to the root of its dataset.
        labels (np.ndarray): (h, w) integers, 0 = none, with the image's
            proportions. Labels are renumbered.
        img (np.ndarray): The image, (H, W, 3) uint8.

    Returns:
        Segments: 8 bit, or 16 bit if there are more than 255 segments.

    Raises:
        ValueError: If the map is no (h, w), or has negative labels or more
            than 65,535 segments.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f'{key}: segments must be an integer map (h, w), got {labels.dtype} '
            f'of shape {labels.shape}'
        )
    values, numbers = np.unique(labels, return_inverse=True)
    if values[0] < 0:
        raise ValueError(f'{key}: labels must be 0 (none) or positive, got {values[0]}')
    numbers = numbers.reshape(labels.shape) + int(values[0] > 0)
    if numbers.max() > 65535:
        raise ValueError(f'{key}: {numbers.max()} segments, at most 65,535 can be kept')
    numbers = numbers.astype(np.uint8 if numbers.max() < 256 else np.uint16)
    return Segments(
        key, cv2.imencode('.png', numbers)[1].tobytes(), img.shape[:2], fingerprint(img)
    )


def write_shard(path: Path, entries: Iterable[Segments]) -> None:
    """Writes a shard, which is complete whenever it exists."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for entry in entries:
            info = zipfile.ZipInfo(printable(entry.key) + '.png')  # with a fixed date
            cells = entry.fingerprint.tobytes().hex()
            info.comment = '{} {} {}'.format(*entry.shape, cells).encode()
            archive.writestr(info, entry.png)
    write_atomically(buffer.getvalue(), path)


def described(member: zipfile.ZipInfo) -> Tuple[Tuple[int, int], np.ndarray]:
    """Shape and fingerprint of the image, from the comment of a shard's member.

    Raises:
        ValueError: If the comment does not hold them.
    """
    found = re.fullmatch(rb'(\d{1,9}) (\d{1,9}) ([0-9a-f]{%d})' % (2 * CELLS**2), member.comment)
    shape = (int(found[1]), int(found[2])) if found else (0, 0)
    stored = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
    if not found or not stored or member.file_size and not min(shape):
        raise ValueError(f'no size and colors of {printable(member.filename)}')
    return shape, np.frombuffer(bytes.fromhex(found[3].decode()), np.uint8)


def read_shard(path: Path) -> List[zipfile.ZipInfo]:
    """Reads the members of a shard.

    Raises:
        ValueError: If it is truncated, or no shard.
    """
    try:
        if not path.is_file():  # a pipe would wait for ever
            raise ValueError('no regular file')
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                described(member)
            return archive.infolist()
    except (zipfile.BadZipFile, struct.error, OSError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f'{path} is truncated, or no shard of a segment store ({error}): remove '
            'it and start tools/make_segments.py again, which makes it anew'
        ) from None


class SegmentStore:
    """Random access to the segments of an image set.

    It holds a table of about 60 bytes per image and opens the shard for each
    read, so that any number of forked or spawned workers can use it.

    Args:
        path (str): The folder that ``tools/make_segments.py`` made.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is no segment store, empty, or a shard of it is
            truncated.
    """

    def __init__(self, path: Union[str, os.PathLike]) -> None:
        self.path = Path(path).expanduser()
        self.about = read_index(self.path)
        self.shards = sorted(self.path.glob('*.zip'))
        hashes, shard, place, shapes, fingerprints = [], [], [], [], []
        for number, name in enumerate(self.shards):
            for info in read_shard(name):
                shape, cells = described(info)
                hashes.append(_hash(info.filename[:-4]))
                shard.append(number)
                place.append((info.header_offset, info.file_size, info.CRC))
                shapes.append(shape)
                fingerprints.append(cells)
        if not hashes:
            raise ValueError(f'{self.path} holds no segments yet: run tools/make_segments.py')
        # of an image that is there twice the one with segments, then the later one
        empty = [size == 0 for _, size, _ in place]
        order = np.lexsort((np.arange(len(hashes)), np.logical_not(empty), hashes))
        self._hashes = np.array(hashes, np.uint64)[order]
        last = np.append(self._hashes[1:] != self._hashes[:-1], True)
        order, self._hashes = order[last], self._hashes[last]
        self._shard = np.array(shard, np.int32)[order]
        self._place = np.array(place, np.int64)[order]
        self._shapes = np.array(shapes, np.int32)[order]
        self._fingerprints = np.stack(fingerprints)[order]

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, names: Iterable[str], exact: bool = False) -> np.ndarray:
        """Positions of the segments of images.

        An image is found by its path, or by an end of the path that begins
        after a ``/``; the longest match counts. So folders may be moved.

        Args:
            names (Iterable[str]): Paths, or keys as they are stored.
            exact (bool): Whether only the whole name counts. Defaults to False.

        Returns:
            np.ndarray: Positions for the other methods, -1 where there are
            no segments.
        """
        found = []
        for name in names:
            name = str(name).replace(os.sep, '/')
            while True:
                number = np.uint64(_hash(name))
                at = int(self._hashes.searchsorted(number))
                if at < len(self._hashes) and self._hashes[at] == number:
                    break
                at, (_, slash, name) = -1, name.partition('/')
                if exact or not slash:
                    break
            found.append(at)
        return np.array(found, np.int64)

    def readable(self, at: Union[int, np.ndarray]) -> np.ndarray:
        """Whether the images at these positions could be read."""
        return self._place[at, 1] > 0

    def read(self, at: int) -> np.ndarray:
        """Label map (h, w), uint8 or uint16, as it is stored.

        Raises:
            ValueError: If the shard is damaged.
        """
        shard, (offset, size, crc) = self.shards[self._shard[at]], self._place[at].tolist()
        with open(shard, 'rb') as file:
            file.seek(max(offset, 0))
            head = file.read(30)
            if len(head) == 30:
                file.seek(sum(struct.unpack('<HH', head[26:])), os.SEEK_CUR)
            png = file.read(size)
        labels = None
        if len(png) == size and zlib.crc32(png) == crc:
            labels = decode_labels(png)
        if labels is None:
            raise ValueError(
                f'{shard} was truncated or damaged: remove it and start '
                'tools/make_segments.py again, which makes it anew'
            )
        return labels

    def is_of(self, at: int, img: np.ndarray, colors: bool = True) -> bool:
        """Whether position ``at`` holds the segments of this image.

        Args:
            at (int): Position.
            img (np.ndarray): (H, W, 3) uint8; it may have been resized since
                the segments were made, with the same proportions.
            colors (bool): Whether to compare colors and not only proportions, which is
                not possible for channels other than RGB. Defaults to True.

        Returns:
            bool: Whether it does.
        """
        (height, width), (h, w) = self._shapes[at].tolist(), img.shape[:2]
        if abs(h * width / (w * height) - 1) > 0.02 + 1 / min(h, w):
            return False
        return not colors or (
            float(np.abs(fingerprint(img).astype(int) - self._fingerprints[at]).mean())
            <= MAX_DISTANCE
        )


def read_index(path: Path) -> dict:
    """Reads ``segments.json``, which says how the store was made.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is not a segment store's.
    """
    if not (path / INDEX).is_file():
        what = 'is no segment store, it has no' if path.exists() else 'does not exist; no'
        raise FileNotFoundError(f'{path} {what} {INDEX}: make it with tools/make_segments.py')
    try:
        about = json.loads((path / INDEX).read_text(encoding='utf-8'))
        given = about['format']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path / INDEX} is damaged ({error})') from None
    if given != FORMAT:
        raise ValueError(f"{path} has the format '{given}', this version reads '{FORMAT}'")
    return about


def names_of(dataset) -> List[str]:
    """The names of a dataset's images: their paths, else their indices."""
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    return [info.get('img_path') or str(info['sample_idx']) for info in infos]


def _hash(key: str) -> int:
    return int.from_bytes(blake2b(printable(key).encode(), digest_size=8).digest(), 'little')


def first_names(names: List[str], count: int = 3) -> str:
    """The first names of a list, and how many more there are."""
    more = f' and {len(names) - count} more' if len(names) > count else ''
    return ', '.join(map(printable, names[:count])) + more
