"""Shards: files that hold many images, each of which can be read without the others.

The layout of tar files is WebDataset's: the files of a sample lie next to each
other and share their path up to the first dot of the name.  An index says where each
image lies in its shard, so that order, workers, processes and resuming are those of
a folder of files.  A shard is untrusted: nothing in it is unpickled or unpacked to
disk, names are never used as paths, and sizes are checked before anything is read.
"""

import io
import os
import re
import tarfile
from fnmatch import fnmatch
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from mssl_plugins.datasets.image_io import EXTENSIONS, printable

SEGMENTS = 'segments.png'  # field of a label map, see mssl_plugins.segments.store
LABEL = 'cls'  # field of a class's number, as WebDataset has it
MAX_BYTES = 1 << 30  # of one encoded image
MAX_HEADER = 1 << 20  # of one name in a tar file
SUFFIXES = ('.tar', '.parquet', '.arrow', '.lmdb', '.mdb')
COMPRESSED = ('.tar.gz', '.tgz', '.tar.bz2', '.tar.xz', '.tar.zst')


class Entry(NamedTuple):
    """One image of a shard.

    Attributes:
        name (str): Its name in the shard, with ``/`` and without control characters,
            so that it fits into a line of a list.
        place (str): Where its bytes are, for :meth:`Shard.read`.
        label (int, optional): Its class, if it has one.
        segments (str, optional): Where its segments are, if it has any.
    """

    name: str
    place: str
    label: Optional[int] = None
    segments: Optional[str] = None


class Shard:
    """Base of the kinds of shards.

    Args:
        path (str): The file.
        image (str, optional): Which field (tar) or column (tables) holds the image.
            Defaults to None: every field with an image's suffix, or the first column that
            looks like images.
        extensions (Sequence[str]): Suffixes of images in lower case. Defaults to the
            usual ones.
    """

    classes: Optional[Tuple[str, ...]] = None

    def __init__(
        self, path: str, image: Optional[str] = None, extensions: Sequence[str] = EXTENSIONS
    ) -> None:
        self.path, self.image, self.extensions = path, image, tuple(extensions)

    def entries(self) -> Iterator[Entry]:
        """The images, in the order of the file.

        Raises:
            ValueError: If the file is damaged or holds no images of this kind.
        """
        raise NotImplementedError

    def read(self, place: str) -> bytes:
        """The bytes at a place of an :class:`Entry`.

        Raises:
            ValueError: If they are not there, or there are more than ``MAX_BYTES``.
        """
        raise NotImplementedError

    def check_bytes(self, size: int) -> None:
        """Refuses what is too large to be an image.

        Raises:
            ValueError: If ``size`` is more than ``MAX_BYTES``.
        """
        if size > MAX_BYTES:
            raise ValueError(f'{size} bytes, more than {MAX_BYTES}')

    def label(self, name: str, text: bytes) -> int:
        """The class that a text field holds.

        Raises:
            ValueError: If it is no number.
        """
        if not re.fullmatch(rb'\s*\d{1,9}\s*', text):
            raise ValueError(f'{self.path}: {printable(name)} is no number of a class')
        return int(text)


class _Headers(io.FileIO):
    """A file of which ``tarfile`` reads nothing but headers, each of a bounded size."""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise ValueError(f'a name of {size} bytes')
        return super().read(size)


class TarShard(Shard):
    """A tar file in WebDataset's layout, not compressed.

    Every member with an image's suffix is an image, except ``KEY.segments.png``, which
    holds the segments of image KEY.  ``KEY.cls`` holds its class as a number.
    """

    def entries(self) -> Iterator[Entry]:
        """See :meth:`Shard.entries`."""
        key, images, label, segments = None, [], None, None
        for name, offset, size in self._members():
            folder, _, base = name.rpartition('/')
            stem, _, field = base.partition('.')
            if (folder, stem) != key:
                yield from (Entry(*image, label, segments) for image in images)
                key, images, label, segments = (folder, stem), [], None, None
            field, place = field.lower(), f'{offset} {size}'
            if field == SEGMENTS:
                segments = place
            elif field == LABEL:
                label = self.label(name, self.read(place) if size <= 32 else b'')
            elif field in self.image.split(';') if self.image else self._is_image(field):
                images.append((name, place))
        yield from (Entry(*image, label, segments) for image in images)

    def read(self, place: str) -> bytes:
        """See :meth:`Shard.read`."""
        offset, size = map(int, place.split())
        self.check_bytes(size)
        with open(self.path, 'rb') as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) < size:
            raise ValueError(f'{self.path} ends before it')
        return data

    def _is_image(self, field: str) -> bool:
        return f'.{field}'.endswith(self.extensions)

    def _members(self) -> Iterator[Tuple[str, int, int]]:
        """Name, offset and size of each plain file."""
        length, last = os.stat(self.path).st_size, -1
        try:
            with (
                _Headers(self.path) as file,
                tarfile.open(fileobj=file, mode='r:', errors='surrogateescape') as tar,
            ):
                while (member := tar.next()) is not None:
                    tar.members.clear()  # otherwise tarfile keeps them all
                    if member.size < 0 or tar.offset <= last:
                        raise ValueError('a size below 0')
                    last = tar.offset
                    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
                    if plain and not member.issparse():
                        if member.offset_data + member.size > length:
                            raise ValueError('ends early')
                        yield clean(member.name), member.offset_data, member.size
                file.seek(tar.offset)
                if any(file.read(MAX_HEADER)):
                    raise ValueError(f'something else after {tar.offset} bytes')
        except (
            tarfile.TarError,
            ValueError,  # those of names that cannot be decoded included
            EOFError,
            IndexError,
            KeyError,
            OverflowError,
            RecursionError,
        ) as error:
            reason = str(error) or type(error).__name__
            raise ValueError(
                f'{self.path} is no whole tar file ({reason}): fetch or make it anew, or '
                'take it out of the folder'
            ) from None


def clean(name: str) -> str:
    """A name from an untrusted file, without control characters, ``..`` and empty parts."""
    parts = re.sub(r'[\x00-\x1f\x7f]', '_', name).split('/')
    return '/'.join(part for part in parts if part not in ('', '.', '..')) or '_'


def is_shard(path: str) -> bool:
    """Whether a path has the name of a shard; ``data.mdb`` is one, its ``lock.mdb`` is not."""
    return path.lower().endswith(SUFFIXES) and os.path.basename(path) != 'lock.mdb'


def find_shards(
    root: str, pattern: str = '*', extensions: Tuple[str, ...] = EXTENSIONS
) -> List[str]:
    """Finds the shards in a folder and its sub-folders.

    A folder that holds image files is no folder of shards.

    Args:
        root (str): The folder.
        pattern (str): Pattern of the file names. Defaults to ``'*'``.
        extensions (Tuple[str, ...]): Suffixes of images in lower case. Defaults to the
            usual ones.

    Returns:
        list[str]: Sorted paths relative to the folder; empty if it holds image files.

    Raises:
        ValueError: If there are compressed tar files.
    """
    found, compressed = [], []
    for place, below, names in os.walk(root):
        below[:] = sorted(name for name in below if name[0] != '.')
        for name in sorted(names):
            if name[0] == '.':
                continue
            if name.lower().endswith(extensions):
                return []
            path = os.path.relpath(os.path.join(place, name), root)
            if fnmatch(name, pattern) and is_shard(name):
                found.append(path)
            elif fnmatch(name, pattern) and name.lower().endswith(COMPRESSED):
                compressed.append(path)
    if compressed:
        raise ValueError(
            f'{os.path.join(root, compressed[0])} is compressed, so that no place in it can be '
            'found: unpack it to .tar'
        )
    return sorted(found)
