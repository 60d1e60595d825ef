"""Inspects each image of a set by its header, by head and tail, or by decoding it."""

import hashlib
import io
import os
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from PIL import Image

from mssl_plugins.datasets.bands import decode_bands, probe
from mssl_plugins.datasets.folder import extensions_of, scan
from mssl_plugins.datasets.image_io import (
    MAX_PIXELS,
    decode_checked,
    is_truncated,
    read_file,
)
from mssl_plugins.datasets.image_shards import ImageShards
from mssl_plugins.datasets.shards import SUFFIXES, find_shards, is_shard

KINDS = {
    '1': 'black and white',
    'L': '8-bit gray',
    'LA': '8-bit gray with alpha',
    'P': 'palette',
    'RGB': '8-bit RGB',
    'RGBA': '8-bit RGB with alpha',
    'CMYK': '8-bit CMYK',
    'YCbCr': '8-bit YCbCr',
    'I': '32-bit gray',
    'F': 'float gray',
    'I;16': '16-bit gray',
    'I;16B': '16-bit gray',
    'PA': 'palette with alpha',
}
ENDS = 1 << 16  # bytes of head and of tail: a header with a thumbnail fits


class Found(NamedTuple):
    """One image: its path, what it is, and why it is not used.

    Attributes:
        path (str): Relative to the folder, with ``/``.
        height, width (int): In px; 0 where the header cannot be read.
        kind (str): A value of ``KINDS``; where channels are kept, their number and bits.
        digest (bytes): Digest of its content; equal digests in a
            :class:`~mssl_plugins.preflight.Survey` mean equal files.
        fault (str): Why it is not used; '' for an image that is used.
        small (bool): Whether that is only its size, see :func:`inspect`. Defaults to False.
    """

    path: str
    height: int = 0
    width: int = 0
    kind: str = ''
    digest: bytes = b''
    fault: str = ''
    small: bool = False


class Files:
    """The files of a folder.

    Args:
        root (Path): The folder.
        channels (int, optional): See :class:`~mssl_plugins.datasets.base.DecodingDataset`.
            Defaults to None.
        bits (int): See there. Defaults to 8.
    """

    def __init__(self, root: Path, channels: Optional[int] = None, bits: int = 8) -> None:
        self.root, self.channels, self.bits = root, channels, bits

    def names(self) -> List[str]:
        """Paths of the images relative to the folder, sorted."""
        return scan(str(self.root), extensions_of(self.channels))

    def read(self, name: str) -> bytes:
        """The content of an image.

        Raises:
            OSError: If it cannot be read.
        """
        return read_file(self.root / name)

    def read_ends(self, name: str) -> bytes:
        """Head, length and tail of a regular file; the whole content of a small one.

        Raises:
            OSError: See :func:`~mssl_plugins.datasets.image_io.read_file`.
        """
        path = self.root / name
        size = os.stat(path).st_size
        if size <= 2 * ENDS:
            return read_file(path)
        with open(path, 'rb') as file:
            head = file.read(ENDS)
            file.seek(size - ENDS)
            return head + size.to_bytes(8, 'big') + file.read(ENDS)


def set_at(path: str, channels: Optional[int] = None, bits: int = 8) -> dict:
    """The dataset config of the images at a path: a folder, a shard, or a folder of shards.

    If the names of some shards, but not of all, begin with ``train``, only these are taken.

    Args:
        path (str): Where the images are.
        channels (int, optional): See :class:`~mssl_plugins.datasets.base.DecodingDataset`.
            Defaults to None.
        bits (int): See there. Defaults to 8.

    Returns:
        dict: Config of an :class:`~mssl_plugins.datasets.folder.ImageFolder` or
        :class:`~mssl_plugins.datasets.image_shards.ImageShards`.

    Raises:
        ValueError: If it is a file of another kind, or there are compressed shards.
    """
    root = os.path.abspath(os.path.expanduser(path))
    kept = {} if channels is None else dict(channels=channels, bits=bits)
    if os.path.isfile(root):
        if not is_shard(root):
            raise ValueError(
                f'{path}: a folder, or a file that ends with {", ".join(SUFFIXES)} is taken'
            )
        return dict(type='mssl_plugins.ImageShards', data_root=root, **kept)
    found = [
        os.path.basename(shard) for shard in find_shards(root, extensions=extensions_of(channels))
    ]
    if not found:
        return dict(type='mssl_plugins.ImageFolder', data_root=root, **kept)
    train = [name.startswith('train') for name in found]
    part = dict(shards='train*') if any(train) and not all(train) else {}
    return dict(type='mssl_plugins.ImageShards', data_root=root, **part, **kept)


def source_of(spec: dict) -> Files:
    """Reads the images of a config of :func:`set_at` one by one."""
    if spec['type'].endswith('ImageFolder'):
        return Files(Path(spec['data_root']), spec.get('channels'), spec.get('bits', 8))
    return Members(ImageShards(**{k: v for k, v in spec.items() if k != 'type'}, labels=False))


class Members(Files):
    """The images in shards.

    Args:
        dataset (ImageShards): The set.
    """

    def __init__(self, dataset: ImageShards) -> None:
        super().__init__(Path(dataset.img_prefix), dataset.channels, dataset.bits)
        self.dataset = dataset
        self._index: Dict[str, int] = {}

    def names(self) -> List[str]:
        """Names of the images, as ``SHARD/NAME``, in the order in which they are read fastest."""
        if not self._index:
            start = len(os.path.join(self.dataset.img_prefix, ''))
            for i in range(len(self.dataset)):
                self._index.setdefault(self.dataset.get_data_info(i)['img_path'][start:], i)
        return list(self._index)

    def read(self, name: str) -> bytes:
        """The content of an image.

        Raises:
            OSError: If it cannot be read.
        """
        try:
            return self.dataset.read(self.dataset.get_data_info(self._index[name]))
        except ValueError as error:
            raise OSError(str(error)) from None

    def read_ends(self, name: str) -> bytes:
        """As for a file, although the whole image is read for it.

        Raises:
            OSError: If it cannot be read.
        """
        return _ends(self.read(name))


def inspect(source: Files, path: str, min_size: int = 0, whole: bool = True) -> Found:
    """Inspects one image.

    Args:
        source (Files): Where it is.
        path (str): Its name there.
        min_size (int): Smallest allowed short side in px. Defaults to 0.
        whole (bool): Whether to decode it. Otherwise only head and tail are
            read, and it is decoded if these look damaged. Defaults to True.

    Returns:
        Found: What it is; nothing is raised for an image that cannot be used.
    """
    if path != path.strip() or {'\n', '\r'} & set(path):  # a line of a list would not keep it
        return Found(path, fault='its name has a line break, or a space at an end: rename it')
    try:
        data = source.read(path) if whole else source.read_ends(path)
    except OSError as error:
        return Found(path, fault=f'cannot be read: {error.strerror or error}')
    if not whole and not _ends_well(data):
        return inspect(source, path, min_size)  # decoding says what is wrong, if anything
    height, width, kind, odd = _header(data, source.channels, source.bits)
    if odd and not whole:
        return inspect(source, path, min_size)
    found = Found(path, height, width, kind, hash_of(_ends(data) if whole else data))
    try:
        if whole and source.channels is None:
            decode_checked(data)
        elif whole:
            decode_bands(data, source.channels, source.bits)
    except ValueError as error:
        return found._replace(fault=str(error))
    if min(height, width) < min_size:
        fault = f'smaller than --min-size {min_size}: {width} x {height} px'
        return found._replace(fault=fault, small=True)
    return found


def _header(data: bytes, channels: Optional[int], bits: int):
    """Height, width, kind, and whether it takes decoding to tell if the image can be used."""
    if channels is not None:
        try:
            shape = probe(data)
        except ValueError:
            return 0, 0, '', True
        same = (shape.channels, shape.bits) == (channels, bits)
        return shape.height, shape.width, str(shape), not same
    try:
        with Image.open(io.BytesIO(data)) as image:
            (width, height), kind = image.size, KINDS.get(image.mode, image.mode)
            tiff = image.format == 'TIFF'
    except Exception:  # by format and damage, many types; decoding says which
        return 0, 0, '', True
    if data.startswith(b'\x89PNG') and data[24] == 16:  # of which Pillow shows 8
        kind = kind.replace('8-bit', '16-bit')
    odd = kind in (KINDS['I'], KINDS['F']) or height * width > MAX_PIXELS or tiff
    return height, width, kind, odd


def _ends(data: bytes) -> bytes:
    """What :meth:`Files.read_ends` gives of a file with this content."""
    if len(data) <= 2 * ENDS:
        return data
    return data[:ENDS] + len(data).to_bytes(8, 'big') + data[-ENDS:]


def _ends_well(ends: bytes) -> bool:
    """Whether a JPEG or PNG file ends as a complete one does; True for other formats."""
    if len(ends) > 2 * ENDS and ends.startswith(b'\xff\xd8'):
        return b'\xff\xd9' in ends[-ENDS:]
    return bool(ends) and not is_truncated(ends)


def hash_of(data: bytes) -> bytes:
    """A digest of 16 bytes."""
    return hashlib.blake2b(data, digest_size=16).digest()
