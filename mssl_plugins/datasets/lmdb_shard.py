"""An LMDB of images: a key is an image's path, its value the file's content.

``KEY.cls`` and ``KEY.segments.png`` beside ``KEY.jpg`` are as in a tar file.
MMEngine's ``LmdbBackend`` reads such a file too.
"""

import os
from typing import Dict, Iterator, Tuple

from mssl_plugins.datasets.image_io import printable
from mssl_plugins.datasets.shards import LABEL, SEGMENTS, Entry, Shard, clean
from mssl_plugins.errors import require

_OPENED: Dict[str, Tuple[int, object]] = {}  # process and handle by path


class LmdbShard(Shard):
    """The file of an LMDB: ``data.mdb``, or ``X.lmdb`` where it was made without a folder.

    LMDB maps its file and trusts what is in it: open only files from people whom you trust.

    Raises:
        UserError: If the package ``lmdb`` is not installed.
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        require('lmdb')

    def entries(self) -> Iterator[Entry]:
        """See :meth:`Shard.entries`."""
        import lmdb

        try:
            with self.env.begin() as view, view.cursor() as cursor:
                keys = [key for key in cursor.iternext(values=False)]
        except lmdb.Error as error:
            raise ValueError(f'{self.path} is no whole LMDB ({error})') from None
        names = [os.fsdecode(key) for key in keys if b'\0' not in key]
        every = set(names)
        for name in names:
            if name.lower().endswith(self.extensions) and not name.endswith(f'.{SEGMENTS}'):
                stem = os.path.splitext(name)[0]
                segments, label = f'{stem}.{SEGMENTS}', f'{stem}.{LABEL}'
                number = self.label(label, self.read(label)) if label in every else None
                yield Entry(clean(name), name, number, segments if segments in every else None)

    def read(self, place: str) -> bytes:
        """See :meth:`Shard.read`."""
        import lmdb

        try:
            with self.env.begin(buffers=True) as view:
                value = view.get(os.fsencode(place))
                if value is None:
                    raise ValueError(f'{self.path} has no {printable(place)}')
                self.check_bytes(len(value))
                return bytes(value)
        except lmdb.Error as error:
            raise ValueError(f'{self.path}: {error}') from None

    @property
    def env(self):
        """The LMDB environment, opened at first use: a handle does not survive a fork."""
        return _environment(self.path)


def _environment(path: str):
    """The one handle that this process has of a file: LMDB refuses a second one."""
    import lmdb

    process, env = _OPENED.get(path, (None, None))
    if process == os.getpid():
        return env
    if env is not None:  # inherited by a fork
        env.close()
    try:
        env = lmdb.open(
            path, subdir=False, readonly=True, lock=False, readahead=False, max_readers=1
        )
    except lmdb.Error as error:
        raise ValueError(f'{path} is no LMDB ({error})') from None
    needed = env.stat()['psize'] * (env.info()['last_pgno'] + 1)
    if os.stat(path).st_size < needed:  # reading past the end of a map kills the process
        env.close()
        raise ValueError(f'{path} is cut: fetch or make it anew')
    _OPENED[path] = os.getpid(), env
    return env
