"""Atomic writes, logged scalars, a progress bar."""

import errno
import json
import math
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Optional, TextIO, Tuple, Union

POSITION = ('step', 'iter', 'epoch')  # of a row of logged scalars
Curve = List[Tuple[int, float]]
TEMPORARY = '.incomplete'


def partial_of(path: Path) -> Path:
    """The temporary path at which a file or folder is written before it gets its name."""
    return path.with_name(f'.{path.name}{TEMPORARY}')


def drop_link(path: Path) -> None:
    """Removes a link at the path of a file to be written: it would lead out of the folder."""
    if path.is_symlink():
        path.unlink()


@contextmanager
def whole_file(path: Union[str, Path], suffix: str = '') -> Iterator[Path]:
    """A temporary path to write a file to, which gets its name once it is whole.

    Args:
        path (str | Path): The file; its folder is made if needed.
        suffix (str): What the temporary name has to end in. Defaults to ''.

    Yields:
        Path: Where to write. What is there is removed if that fails.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = partial_of(path)
    part = part.with_name(part.name + suffix)
    if part.is_file() or not part.exists():  # else a device, which says if it is full
        part.unlink(missing_ok=True)
    try:
        yield part
        os.replace(part, path)
    except BaseException:  # a killed loader's worker is told of by a signal, here too
        part.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Union[str, Path]) -> Iterator[Path]:
    """A temporary folder to write to, which gets its name, in place of another, once it is whole.

    Args:
        path (str | Path): The folder; that around it is made if needed.

    Yields:
        Path: Where to write. It is removed if that fails, and the older folder stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part, old = partial_of(path), path.with_name(f'.{path.name}.replaced')
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        if path.exists():
            os.rename(path, old)
        os.rename(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        if old.exists():
            os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_atomically(data: bytes, path: Union[str, Path]) -> None:
    """Writes a file that is complete whenever it exists under its name.

    Args:
        data (bytes): The contents.
        path (str | Path): The file; its folder is made if needed.

    Raises:
        OSError: If it cannot be written; names the path. The partial file is
            removed.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole_file(path) as part, open(part, 'wb') as f:
            f.write(data)
            f.flush()
            os.fsync(f.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def check_place(path: Union[str, Path]) -> None:
    """Refuses a path at which no file can be written, before the work whose result it is.

    Args:
        path (str | Path): The file; its folder need not exist.

    Raises:
        OSError: If it is a folder, or the nearest folder above it is none to write to.
    """
    path = Path(path).absolute()
    above = next(folder for folder in path.parents if folder.exists())
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise OSError(errno.EACCES, f'cannot be written: no access to {above}', str(path))


def read_lines(path: Union[str, os.PathLike]) -> List[str]:
    """The lines of a list of file names, which need not be UTF-8."""
    with open(path, encoding='utf-8', errors='surrogateescape') as file:
        return [line.rstrip('\n') for line in file]


def as_bytes(lines: Iterable[str]) -> bytes:
    """The bytes of a list of names, as :func:`read_lines` reads them."""
    return ''.join(f'{line}\n' for line in lines).encode(errors='surrogateescape')


def read_scalars(
    work_dir: Union[str, Path], pattern: str = '*/vis_data/scalars.json'
) -> List[dict]:
    """The scalars that a run and its resumptions logged, in the order of writing.

    Args:
        work_dir (str | Path): The run's work dir.
        pattern (str): Which files below it. Defaults to those of the runs that
            are directly in it.

    Returns:
        list[dict]: One for each line; incomplete lines are left out. Empty if
        nothing was logged.
    """
    rows = []
    for file in sorted(Path(work_dir).glob(pattern)):
        for line in read_lines(file) if file.is_file() else ():
            try:
                row = json.loads(line)
            except ValueError:  # half a line
                continue
            if isinstance(row, dict):
                rows.append(row)
    return rows


def placed(rows: Iterable[dict]) -> List[Tuple[int, dict]]:
    """The rows of :func:`read_scalars` that say at which step they were written, with it."""
    steps = ((row.get('step', row.get('iter')), row) for row in rows)
    return [(step, row) for step, row in steps if isinstance(step, int)]


def as_curves(rows: Iterable[dict]) -> Dict[str, Curve]:
    """Every finite number of the rows of :func:`read_scalars`, by name, as (step, value).

    Where runs overlap, the later row counts.
    """
    found: Dict[str, Dict[int, float]] = {}
    for step, row in placed(rows):
        for key, value in row.items():
            if key not in POSITION and finite(value):
                found.setdefault(str(key), {})[step] = float(value)
    return {key: sorted(points.items()) for key, points in found.items()}


def finite(value) -> bool:
    """Whether a value of a log is a number, and finite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class ProgressBar:
    """A progress bar in a terminal; a few lines elsewhere.

    Args:
        title (str): What is being done.
        total (int): How many items there are; 0: not known.
        shown (bool): Whether to show anything. Defaults to True.
        lines (int): How many lines to print without a terminal. Defaults to 10.
        stream (TextIO, optional): Defaults to None, the standard output.
    """

    def __init__(
        self,
        title: str,
        total: int,
        shown: bool = True,
        lines: int = 10,
        stream: Optional[TextIO] = None,
    ) -> None:
        self.title, self.total, self.lines = title, total, lines
        self.stream = stream or sys.stdout
        self.shown, self.live = shown, self.stream.isatty()
        self.done = self.first = 0
        self.began, self.line, self.open = time.monotonic(), -1, False

    def start_at(self, done: int) -> None:
        """Starts at ``done`` items, which do not count for the speed."""
        self.done = self.first = done
        self.began = time.monotonic()

    def update(self, count: int = 1) -> None:
        """Advances by ``count`` items."""
        self.to(self.done + count)

    def to(self, done: int, note: str = '') -> None:
        """Sets the count to ``done`` items; ``note`` is shown next to it."""
        self.done = done
        line = self.lines * done // self.total if self.total else 0
        if not self.shown or not (self.live or line > self.line):
            return
        self.line = line
        text = f'{self.title}: {done}'
        if self.total:
            left = int(
                (time.monotonic() - self.began)
                / max(done - self.first, 1)
                * max(self.total - done, 0)
            )
            bar = ('#' * (20 * done // self.total))[:20].ljust(20, '.')
            text = f'[{bar}] {text}/{self.total}, {left // 60}:{left % 60:02d} left'
        text += f'  {note}' if note else ''
        self.stream.write(f'\r{text:<78}' if self.live else f'{text}\n')
        self.open = self.live
        if self.total and done >= self.total:
            self.close()
        self.stream.flush()

    def close(self) -> None:
        """Ends the line."""
        if self.open:
            self.stream.write('\n')
        self.open = False


def progress(items: Iterable, total: int, shown: bool = True, title: str = 'done') -> Iterator:
    """Yields items and shows how many are done.

    Args:
        items (Iterable): The items.
        total (int): How many there are; 0: not known.
        shown (bool): Whether to show anything. Defaults to True.
        title (str): What is being done. Defaults to 'done'.

    Yields:
        Any: The items.
    """
    bar = ProgressBar(title, total, shown)
    try:
        for item in items:
            yield item
            bar.update()
    finally:
        bar.close()
