"""Parquet and Arrow files of images, in the layout of Hugging Face's ``datasets``.

An image is a struct of ``bytes`` and ``path``, or plain bytes.  A ``path`` without
``bytes``, which names a file elsewhere, is not followed.  A Parquet file is read by row
groups, of which the last ones stay in memory; an Arrow file is mapped.
"""

import json
import threading
from typing import Iterator, Optional, Tuple

from mssl_plugins.datasets.image_io import printable
from mssl_plugins.datasets.shards import MAX_BYTES, Entry, Shard, clean
from mssl_plugins.errors import require, unknown

COLUMNS = ('image', 'img', 'jpg', 'jpeg', 'png', 'webp', 'tif', 'npy', 'pixel_values')
LABELS = ('label', 'labels', 'cls', 'fine_label')
SEGMENTS_COLUMN = 'segments'
GROUPS = 2  # row groups of a file that are kept


class _Table(Shard):
    """Base of Parquet and Arrow shards."""

    def entries(self) -> Iterator[Entry]:
        """See :meth:`Shard.entries`."""
        names, features = self._names()
        image = self._image_column(names, features)
        label = next((name for name in LABELS if name in names), None)
        if label and (features.get(label) or {}).get('names'):
            self.classes = tuple(map(str, features[label]['names']))
        segments = SEGMENTS_COLUMN if SEGMENTS_COLUMN in names else None
        used = set()
        for number, row, path, value, there in self._rows(image, label, segments):
            name = clean(path) if path else f'{number}-{row:06d}'
            while name in used:  # most likely `path` is a file name, and folders share it
                name = f'{number}-{row}/{name}'
            used.add(name)
            place = f'{image} {number} {row}'
            yield Entry(name, place, value, f'{segments} {number} {row}' if there else None)

    def _image_column(self, names, features) -> str:
        if self.image is not None:
            if self.image not in names:
                raise unknown(self.image, names, f'column of {self.path}')
            return self.image
        marked = [
            name
            for name, feature in features.items()
            if isinstance(feature, dict) and feature.get('_type') == 'Image' and name in names
        ]
        found = [name for name in (*marked, *COLUMNS) if name in names and name != SEGMENTS_COLUMN]
        if not found:
            raise ValueError(
                f'{self.path}: no column is called {", ".join(COLUMNS)}; name one of '
                f'{", ".join(map(printable, names))} with image='
            )
        return found[0]

    def _features(self, schema) -> Tuple[list, dict]:
        """Names of the columns, and the features that Hugging Face's ``datasets`` states."""
        try:
            said = json.loads((schema.metadata or {}).get(b'huggingface') or b'{}')
            features = said['info']['features']
        except (ValueError, KeyError, TypeError, RecursionError):
            features = {}
        return list(schema.names), features if isinstance(features, dict) else {}

    def _names(self):
        raise NotImplementedError

    def _rows(self, image: str, label: Optional[str], segments: Optional[str]):
        """(part of the file, row in it, path, label, whether there are segments)."""
        raise NotImplementedError

    def _whole(self, call, *args, **kwargs):
        """Calls pyarrow; its errors become a ValueError that names the file."""
        try:
            return call(*args, **kwargs)
        except (OSError, ValueError, KeyError, MemoryError, NotImplementedError) as error:
            raise ValueError(
                f'{self.path} is no whole table ({printable(str(error)).splitlines()[0][:100]})'
            ) from None

    def _cell(self, column, row: int) -> bytes:
        """The bytes in a row of a column, which is a struct or plain bytes."""
        import pyarrow as pa

        if pa.types.is_struct(column.type):
            column = _field(column, 'bytes')
        if column is None or not _is_bytes(column.type):
            raise ValueError(f'{self.path}: the column holds no bytes of images')
        if row >= len(column):
            raise ValueError(f'{self.path} has no row {row}')
        data = column[row].as_buffer()
        if data is None:
            raise ValueError('the table holds no image there, only a path')
        self.check_bytes(data.size)
        return data.to_pybytes()


def _is_bytes(kind) -> bool:
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _field(column, name: str):
    """A field of a struct array (chunked or not); None if there is none."""
    import pyarrow as pa

    if column.type.get_field_index(name) < 0:
        return None
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column.field(name)


def _described(paths, labels, there, count: int):
    """(row, path, label, whether there are segments) of columns that may be None."""
    paths = paths.to_pylist() if paths is not None else [None] * count
    labels = labels.to_pylist() if labels is not None else [None] * count
    there = there.is_valid().to_pylist() if there is not None else [False] * count
    for row in range(count):
        label = labels[row] if isinstance(labels[row], int) and labels[row] >= 0 else None
        yield row, paths[row] if isinstance(paths[row], str) else None, label, there[row]


class ParquetShard(_Table):
    """A Parquet file, read by row groups.

    Raises:
        UserError: If the package ``pyarrow`` is not installed.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        require('pyarrow')
        self._file, self._groups, self._lock = None, {}, threading.Lock()

    def read(self, place: str) -> bytes:
        """See :meth:`Shard.read`."""
        name, group, row = place.rsplit(' ', 2)
        key = (name, int(group))
        with self._lock:
            if key not in self._groups:
                while len(self._groups) >= GROUPS:
                    self._groups.pop(next(iter(self._groups)))
                self._groups[key] = self._group(int(group), self._leaf(name, 'bytes'))
            column = self._groups[key] = self._groups.pop(key)  # the newest
        return self._cell(column, int(row))

    @property
    def file(self):
        """The file, opened at first use: a handle does not survive a fork."""
        if self._file is None:
            import pyarrow.parquet as pq

            self._file = self._whole(pq.ParquetFile, self.path)
            self._schema = self._file.schema_arrow  # kept: pyarrow makes it anew at each access
            schema = self._file.schema
            self._columns = {schema.column(i).path: i for i in range(len(schema.names))}
        return self._file

    def _names(self):
        return self._features(self.file.schema_arrow)

    def _leaf(self, name: str, field: str) -> str:
        """Dotted name of a column's field, or the column's name if it is no struct."""
        import pyarrow as pa

        kind = self.file and self._schema.field(name).type
        return f'{name}.{field}' if pa.types.is_struct(kind) else name

    def _group(self, group: int, leaf: str):
        """One column of a row group; None if there is no such column."""
        at = self.file and self._columns.get(leaf)
        if at is None:
            return None
        size = self.file.metadata.row_group(group).column(at).total_uncompressed_size
        if not 0 <= size <= 2 * MAX_BYTES:
            raise ValueError(
                f'{self.path}: a row group of {size} bytes is too large to be read for one '
                'image; write it with smaller row groups'
            )
        table = self._whole(self.file.read_row_group, group, columns=[leaf], use_threads=False)
        return table.column(0).combine_chunks()

    def _rows(self, image, label, segments):
        import pyarrow as pa

        struct = pa.types.is_struct(self.file.schema_arrow.field(image).type)
        for group in range(self.file.num_row_groups):
            count = self.file.metadata.row_group(group).num_rows
            paths = self._group(group, f'{image}.path') if struct else None
            if paths is not None:
                paths = _field(paths, 'path')
            labels = self._group(group, label) if label else None
            there = None
            if segments:
                there = self._group(group, self._leaf(segments, 'bytes'))
                if pa.types.is_struct(there.type):
                    there = _field(there, 'bytes')
            for row in _described(paths, labels, there, count):
                yield (group, *row)


class ArrowShard(_Table):
    """An Arrow file in the IPC stream or file format, mapped into memory.

    Raises:
        UserError: If the package ``pyarrow`` is not installed.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        require('pyarrow')
        self._table = None

    def read(self, place: str) -> bytes:
        """See :meth:`Shard.read`."""
        name, chunk, row = place.rsplit(' ', 2)
        return self._cell(self.table.column(name).chunk(int(chunk)), int(row))

    @property
    def table(self):
        """The table, whose columns are slices of the mapped file."""
        if self._table is None:
            self._table = self._whole(self._map)
        return self._table

    def _map(self):
        import pyarrow as pa

        source = pa.memory_map(self.path)
        form = pa.ipc.open_file if source.read(6) == b'ARROW1' else pa.ipc.open_stream
        source.seek(0)
        table = form(source).read_all()
        table.validate(full=True)  # a stranger's offsets could lead anywhere
        return table

    def _names(self):
        return self._features(self.table.schema)

    def _rows(self, image, label, segments):
        import pyarrow as pa

        for number, batch in enumerate(self.table.column(image).chunks):
            struct = pa.types.is_struct(batch.type)
            paths = _field(batch, 'path') if struct else None
            labels = self.table.column(label).chunk(number) if label else None
            there = self.table.column(segments).chunk(number) if segments else None
            for row in _described(paths, labels, there, len(batch)):
                yield (number, *row)
