"""Packs images into shards that :class:`~mssl_plugins.datasets.image_shards.ImageShards` reads.

An image is copied as it is, with its class and its segments beside it.  A shard is
written whole or not at all, and a shard that is already there is kept: packing that
was stopped goes on.  Tar files have WebDataset's layout, tables that of Hugging
Face's ``datasets``.
"""

import hashlib
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Type

import cv2

from mssl_plugins.datasets.folder import ImageFolder
from mssl_plugins.datasets.image_io import printable, read_file
from mssl_plugins.datasets.image_shards import CLASSES
from mssl_plugins.datasets.inspection import set_at
from mssl_plugins.datasets.shards import LABEL, SEGMENTS
from mssl_plugins.errors import require, unknown
from mssl_plugins.files import ProgressBar, as_bytes, whole_file, write_atomically
from mssl_plugins.registry import DATASETS
from mssl_plugins.segments.store import SegmentStore, names_of

PLAN = 'pack.json'
ROWS = 4  # in a row group: to read one image, the whole row group is read
KEY_BYTES = 511  # LMDB's limit of a key


class Sample(NamedTuple):
    """One image to be written.

    Attributes:
        name (str): Its name in the shard, ``KEY.jpg``; no other image has the same KEY.
        data (bytes): Content of its file.
        label (int, optional): Its class. Defaults to None.
        segments (bytes, optional): Its segments, a PNG. Defaults to None.
    """

    name: str
    data: bytes
    label: Optional[int] = None
    segments: Optional[bytes] = None

    def members(self) -> Iterator[Tuple[str, bytes]]:
        """Names and contents of ``KEY.jpg`` and of what lies beside it."""
        key = os.path.splitext(self.name)[0]
        yield self.name, self.data
        if self.label is not None:
            yield f'{key}.{LABEL}', str(self.label).encode()
        if self.segments is not None:
            yield f'{key}.{SEGMENTS}', self.segments


class TarWriter:
    """Writes a tar file in WebDataset's layout.

    Args:
        path (Path): The file.
        classes (Sequence[str], optional): Names of the classes, which tables hold and
            other formats do not. Defaults to None.
    """

    def __init__(self, path: Path, classes: Optional[Sequence[str]] = None) -> None:
        self.tar = tarfile.open(path, 'w', format=tarfile.PAX_FORMAT)

    def add(self, sample: Sample) -> None:
        """Writes an image and what lies beside it."""
        for name, data in sample.members():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            self.tar.addfile(info, io.BytesIO(data))

    def close(self) -> None:
        """Ends the file."""
        self.tar.close()


class LmdbWriter:
    """Writes an LMDB in one file; arguments as for :class:`TarWriter`.

    Raises:
        UserError: If the package ``lmdb`` is not installed.
    """

    def __init__(self, path: Path, classes: Optional[Sequence[str]] = None) -> None:
        require('lmdb')
        import lmdb

        # map_size is how far it may grow; the file is as large as its content.
        self.env = lmdb.open(str(path), subdir=False, map_size=1 << 40, lock=False, sync=False)

    def add(self, sample: Sample) -> None:
        """Writes an image and what lies beside it.

        Raises:
            ValueError: If the name is too long for a key.
        """
        with self.env.begin(write=True) as changes:
            for name, value in sample.members():
                key = os.fsencode(name)
                if len(key) > KEY_BYTES:
                    raise ValueError(
                        f'{printable(name)}: an LMDB has keys of {KEY_BYTES} bytes at most; '
                        'take another --format'
                    )
                changes.put(key, value)

    def close(self) -> None:
        """Ends the file."""
        self.env.sync(True)
        self.env.close()


class _TableWriter:
    """Writes a table with the columns ``image``, ``label`` and ``segments``.

    Arguments as for :class:`TarWriter`.

    Raises:
        UserError: If the package ``pyarrow`` is not installed.
    """

    def __init__(self, path: Path, classes: Optional[Sequence[str]] = None) -> None:
        require('pyarrow')
        import pyarrow as pa

        self.path, self.classes, self.rows = path, classes, []
        self.image = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
        self.file = None

    def add(self, sample: Sample) -> None:
        """Writes an image and what lies beside it."""
        self.rows.append(sample)
        if len(self.rows) >= ROWS:
            self._write()

    def _write(self) -> None:
        import pyarrow as pa

        features, columns = dict(image=dict(_type='Image')), {}
        columns['image'] = pa.array(
            [dict(bytes=row.data, path=row.name) for row in self.rows], self.image
        )
        if self.rows[0].label is not None:
            names = dict(names=list(self.classes), _type='ClassLabel') if self.classes else None
            features['label'] = names or dict(dtype='int64', _type='Value')
            columns['label'] = pa.array([row.label for row in self.rows], pa.int64())
        if self.rows[0].segments is not None:
            features['segments'] = dict(_type='Image')
            found = [dict(bytes=row.segments, path=None) for row in self.rows]
            columns['segments'] = pa.array(found, self.image)
        about = json.dumps(dict(info=dict(features=features)))
        table = pa.table(columns).replace_schema_metadata(dict(huggingface=about))
        if self.file is None:
            self.file = self._open(table.schema)
        self.file.write_table(table)
        self.rows = []

    def _open(self, schema):
        raise NotImplementedError

    def close(self) -> None:
        """Ends the file."""
        if self.rows:
            self._write()
        self.file.close()


class ParquetWriter(_TableWriter):
    """Writes a Parquet file; arguments as for :class:`TarWriter`."""

    def _open(self, schema):
        import pyarrow.parquet as pq

        # Encoded images cannot be compressed, and a dictionary of them only costs time.
        return pq.ParquetWriter(self.path, schema, compression='none', use_dictionary=False)


class ArrowWriter(_TableWriter):
    """Writes an Arrow file in the IPC stream format, which ``datasets`` reads.

    Arguments as for :class:`TarWriter`.
    """

    def _open(self, schema):
        import pyarrow as pa

        return pa.ipc.new_stream(str(self.path), schema)


FORMATS: Dict[str, Type] = dict(
    tar=TarWriter, parquet=ParquetWriter, arrow=ArrowWriter, lmdb=LmdbWriter
)


def pack(
    data: str,
    out: str,
    form: str = 'tar',
    images: int = 10_000,
    segments: Optional[str] = None,
    channels: Optional[int] = None,
    shown: bool = False,
) -> List[Path]:
    """Packs a folder of images into shards.

    Args:
        data (str): The folder; sub-folders become classes as in
            :class:`~mssl_plugins.datasets.folder.ImageFolder`.
        out (str): A new folder, or one where packing was stopped.
        form (str): 'tar', 'parquet', 'arrow' or 'lmdb'. Defaults to 'tar'.
        images (int): Largest number of images in a shard. Defaults to 10,000.
        segments (str, optional): A segment store of these images. Defaults to
            None: no segments are packed.
        channels (int, optional): Number of channels that the images keep; ``.npy`` files
            are then packed, too. Defaults to None.
        shown (bool): Whether to show progress. Defaults to False.

    Returns:
        list[Path]: The shards.

    Raises:
        FileNotFoundError: If there is no such folder or store.
        ValueError: If an argument is out of range, segments are missing, or ``out``
            holds something else.
        OSError: If a file cannot be read or written.
        UserError: If the package that writes the format is not installed.
    """
    if form not in FORMATS:
        raise unknown(form, FORMATS, 'format')
    if images < 1:
        raise ValueError(f'--images {images}: must be 1 or more')
    spec = set_at(data, channels)
    if spec['type'].endswith('ImageShards'):
        raise ValueError(f'{data} holds shards already')
    dataset = DATASETS.build(dict(spec, pipeline=[]))
    store = None if segments is None else _store(segments, dataset)
    names = _names(dataset)
    folder = Path(out).expanduser()
    _check_plan(folder, dataset, names, form, images, segments)
    if dataset.CLASSES:
        write_atomically(as_bytes(dataset.CLASSES), folder / CLASSES)
    count = -(-len(names) // images)
    shards = [folder / f'images-{number:05d}.{form}' for number in range(count)]
    bar = ProgressBar('images packed', len(names), shown)
    bar.start_at(
        sum(min(images, len(names) - images * i) for i, s in enumerate(shards) if s.exists())
    )
    for number, shard in enumerate(shards):
        if not shard.exists():
            part = range(images * number, min(images * (number + 1), len(names)))
            _write_shard(shard, FORMATS[form], dataset, names, part, store, bar)
    bar.close()
    return shards


def _write_shard(shard, writer, dataset, names, part, store, bar) -> None:
    """Writes one shard under a temporary name, and renames it when it is whole."""
    with whole_file(shard) as unfinished:
        file = writer(unfinished, dataset.CLASSES)
        for index in part:
            info = dataset.get_data_info(index)
            label = None
            if store is not None:
                found, at = store
                label = cv2.imencode('.png', found.read(int(at[index])))[1].tobytes()
            file.add(Sample(names[index], read_file(info['img_path']), info.get('gt_label'), label))
            bar.update()
        file.close()


def _store(segments: str, dataset: ImageFolder):
    """The segment store, and the position of each image in it."""
    store = SegmentStore(segments)
    at = store.find(names_of(dataset))
    missing = [i for i, place in enumerate(at) if place < 0 or not store.readable(int(place))]
    if missing:
        first = printable(dataset.get_data_info(missing[0])['img_path'])
        raise ValueError(
            f'{segments} has no segments for {len(missing)} of {len(dataset)} images, {first} '
            'among them: start make_segments again'
        )
    return store, at


def _names(dataset: ImageFolder) -> List[str]:
    """A name for each image, with one dot and a KEY before it that no other image has."""
    names, used = [], set()
    for index in range(len(dataset)):
        path = os.path.relpath(dataset.get_data_info(index)['img_path'], dataset.img_prefix)
        place, base = os.path.split(path)
        stem, suffix = os.path.splitext(base)
        stem = re.sub(r'[.\x00-\x1f\x7f]', '_', stem) or '_'
        key, number = os.path.join(place, stem), 1
        while key in used:  # x.jpg beside x.png
            key, number = os.path.join(place, f'{stem}-{number}'), number + 1
        used.add(key)
        names.append(f'{key}{suffix.lower()}')
    return names


def _check_plan(folder: Path, dataset, names, form: str, images: int, segments) -> None:
    """Refuses a folder that holds other shards; writes which shards it is to hold."""
    digest = hashlib.blake2b(digest_size=16)
    for index, name in enumerate(names):
        info = dataset.get_data_info(index)
        digest.update(f'{name}\0{info.get("gt_label")}\n'.encode(errors='surrogateescape'))
    plan = dict(
        format=form,
        images=images,
        total=len(names),
        segments=segments and os.path.abspath(segments),
        digest=digest.hexdigest(),
    )
    there = folder / PLAN
    if there.is_file():
        try:
            same = json.loads(there.read_text()) == plan
        except ValueError:
            same = False
        if not same:
            raise ValueError(f'{folder} holds shards of other images or options: name a new folder')
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f'{folder} is not empty: name a new folder')
    write_atomically(json.dumps(plan).encode(), there)
