"""Writes a segment store, shard by shard."""

import time
import zipfile
from pathlib import Path
from typing import Dict, List, Sequence

from mssl_plugins.segments.store import Segments, described, read_shard, write_shard

SECONDS = 5.0  # after which what is made is written


class ShardWriter:
    """Writes segments as they are made: small shards first, joined to full ones later.

    Args:
        folder (Path): The segment store.
        shard (int): Images in a full shard.
    """

    def __init__(self, folder: Path, shard: int) -> None:
        self.folder, self.shard = folder, shard
        self.waiting: List[Segments] = []
        self.written = time.monotonic()
        # what earlier runs left to be merged
        self.parts: Dict[Path, int] = {
            path: len(read_shard(path)) for path in sorted(folder.glob('part-*.zip'))
        }

    def add(self, entry: Segments) -> None:
        """Adds an entry; writes a shard when it is full or some seconds have passed."""
        self.waiting.append(entry)
        if len(self.waiting) >= self.shard or time.monotonic() - self.written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes the entries that are not yet in a shard."""
        self.written = time.monotonic()
        if self.waiting:
            path = self._free('part')
            write_shard(path, self.waiting)
            self.parts[path], self.waiting = len(self.waiting), []
        while sum(self.parts.values()) >= self.shard:
            self.join()

    def join(self) -> None:
        """Joins small shards to a full one."""
        chosen, count = [], 0
        for path, size in self.parts.items():
            chosen.append(path)
            count += size
            if count >= self.shard:
                break
        write_shard(self._free('shard'), self._stored(chosen))
        for path in chosen:  # only now: killed before, they are there twice
            path.unlink()
            del self.parts[path]

    def finish(self) -> None:
        """Writes and joins everything that is left."""
        self.flush()
        if self.parts:
            self.join()

    @staticmethod
    def _stored(paths: Sequence[Path]):
        for path in paths:
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    yield Segments(info.filename[:-4], archive.read(info), *described(info))

    def _free(self, kind: str) -> Path:
        numbers = [
            int(p.stem.rsplit('-', 1)[1]) for p in self.folder.glob(f'{kind}-{"[0-9]" * 6}.zip')
        ]
        return self.folder / f'{kind}-{max(numbers, default=-1) + 1:06d}.zip'
