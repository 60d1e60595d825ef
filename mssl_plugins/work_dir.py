"""The folder of a run: locked while in use, old runs protected, cleaned after a failed start."""

import errno
import fcntl
import os
import re
import resource
import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import List, Optional, Union

from mssl_plugins.errors import UserError
from mssl_plugins.files import drop_link

#: the checkpoint between the regular ones
INTERIM = 'interim.pth'
LOCK = '.lock'
#: folder of the lists of images, and the one of those that are not used
LISTS, NOT_USED = 'images', 'not_used.txt'
#: what an older run needs to go on, until a new one has made a step: where it lies then, and what
ASIDE, HALF_ASIDE = f'.{LISTS}.old', f'.{LISTS}.half'
ITS_FILES = (
    *(f'{LISTS}/{name}' for name in ('train.txt', 'held_out.txt', NOT_USED, 'channels.json')),
    'config.py',
    'monitor.json',
    'report.json',
)
#: what a run that never begins leaves in a folder, besides its logs
ITS_OWN = (LISTS, 'config.py', 'monitor.json', 'report.json')
LOGS = re.compile(r'\d{8}_\d{6}')
RESUMABLE = re.compile(r'(epoch|iter)_\d+\.pth|interim\.pth')
CHECKPOINTS = re.compile(r'(epoch|iter)_\d+\.pth|best_.+\.pth|last_checkpoint|interim\.pth')


def last_checkpoint(work_dir: Union[str, Path]) -> Optional[str]:
    """The last checkpoint of a work dir, which may have been moved; None if none was saved.

    If the file ``last_checkpoint`` is missing, damaged or names a file that does
    not exist, it is the newest of the checkpoints, each of which is complete.
    """
    note = Path(work_dir) / 'last_checkpoint'
    text = note.read_bytes().split(b'\0')[0].strip() if note.is_file() else b''
    path = Path(os.fsdecode(text))
    for found in (path, note.parent / path.name) if path.name else ():
        if found.is_file():
            return str(found)
    others = [p for p in note.parent.glob('*.pth') if RESUMABLE.fullmatch(p.name)]
    newest = max(others, key=lambda p: (p.stat().st_mtime_ns, p.name), default=None)
    return str(newest) if newest else None


def beside(path: Union[str, Path]) -> Path:
    """The folder of a check of what a run in ``path`` would do: in that folder, or beside it."""
    run = Path(path).absolute()
    return run / '.check' if run.is_dir() else run.with_name(f'.{run.name}.check')


class WorkDir:
    """A folder that a run is about to use.

    Args:
        path (str): It need not exist.
        check (bool): Use the folder :func:`beside` it, which is deleted in the end.
            Defaults to False.

    Raises:
        UserError: If the name is not UTF-8, which TensorBoard and logs need, or is a file's.
    """

    def __init__(self, path: str, check: bool = False) -> None:
        if any('\udc80' <= c <= '\udcff' for c in str(path)):
            raise UserError(f'--work-dir {ascii(str(path))} is not UTF-8: give it another name')
        self.run = Path(path).absolute()
        if self.run.exists() and not self.run.is_dir():
            raise UserError(f'--work-dir {path} is a file: name a folder')
        self.path = beside(path) if check else self.run
        self.new = [p for p in (self.path, *self.path.parents) if not p.exists()]
        if check and self.path not in self.new:  # a check that was killed has left it
            self.new.insert(0, self.path)
        self.known = {p.name for p in self.path.iterdir()} if self.path.is_dir() else set()
        self.old: List[Path] = []
        self._lock: Optional[int] = None

    def lock(self) -> None:
        """Keeps other runs out until :meth:`release` or the end of the process.

        It is a record lock: it ends with this process, however that ends, and
        data loaders' workers do not inherit it.  On a file system without such
        locks there is none.

        Raises:
            UserError: If another run holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for name in (LOCK, 'config.py', ASIDE, HALF_ASIDE):
            drop_link(self.path / name)
        while True:
            handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                owner = os.read(handle, 200).decode(errors='replace').strip()
                os.close(handle)
                if error.errno in (errno.EACCES, errno.EAGAIN):
                    raise UserError(
                        f'another run is training in {self.path} ({owner or "?"}): '
                        'wait for its end or name another --work-dir'
                    ) from None
                self._put_back()
                return
            if (self.path / LOCK).exists() and os.path.samestat(
                os.fstat(handle), os.stat(self.path / LOCK)
            ):
                break
            os.close(handle)  # its owner has deleted the file meanwhile
        os.ftruncate(handle, 0)
        os.write(handle, f'process {os.getpid()} on {socket.gethostname()}'.encode())
        self._lock = handle
        self._put_back()  # should a run have been killed before its first step

    def release(self) -> None:
        """Lets other runs in."""
        if self._lock is not None:
            with suppress(OSError):  # the folder may have become read-only
                (self.path / LOCK).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def start_over(self, overwrite: bool) -> None:
        """Prepares a run that does not go on from an older one here.

        Args:
            overwrite (bool): Whether :meth:`forget_old` may delete an older
                run.

        Raises:
            UserError: If there is an older run and it may not be deleted.
        """
        found = (
            sorted(p for p in self.path.iterdir() if CHECKPOINTS.fullmatch(p.name))
            if self.path.is_dir()
            else []
        )
        if not found:
            return
        if not overwrite:
            last = last_checkpoint(self.path)
            raise UserError(
                f'{self.path} holds a run ({Path(last or found[-1]).name}): go on '
                'with --resume, or delete it and start over with --overwrite'
            )
        stale = [p for p in self.path.iterdir() if LOGS.fullmatch(p.name)]
        self.old = [*found, *stale, self.path / 'report.html']

    def put_aside(self) -> None:
        """Copies what an older run needs for its --resume, should the new run not begin."""
        files = [name for name in ITS_FILES if (self.path / name).is_file()]
        if files and not (self.path / LISTS).is_symlink():
            half, aside = self.path / HALF_ASIDE, self.path / ASIDE
            half.mkdir()
            for name in files:
                shutil.copy2(self.path / name, half / Path(name).name)
            os.replace(half, aside)
            self.old.append(aside)

    def _as_aside(self, name: str) -> bool:
        """Whether a file is still the one that was put aside."""
        now, kept = self.path / name, self.path / ASIDE / Path(name).name
        both = now.is_file() and kept.is_file()
        return both and now.stat().st_mtime_ns == kept.stat().st_mtime_ns

    def _put_back(self) -> None:
        """Brings back what was put aside; may be interrupted at any point and done again."""
        aside = self.path / ASIDE
        if aside.is_dir():
            for name in ITS_FILES:
                kept = aside / Path(name).name
                if kept.is_file():
                    (self.path / name).parent.mkdir(exist_ok=True)
                    shutil.copy2(kept, self.path / name)
                else:
                    (self.path / name).unlink(missing_ok=True)
        self._drop_aside()

    def _drop_aside(self) -> None:
        """Deletes what was put aside, under a name from which nothing is brought back."""
        half, aside = self.path / HALF_ASIDE, self.path / ASIDE
        _delete(half)
        if aside.is_dir():
            os.replace(aside, half)
            _delete(half)

    def forget_old(self) -> None:
        """Deletes the run that :meth:`start_over` found, once the new one has begun."""
        if not self.old:
            return
        lists = [name for name in ITS_FILES if Path(name).parent.name == LISTS]
        stale = [name for name in lists if self._as_aside(name)]
        if any((self.path / name).is_file() for name in set(lists) - set(stale)):
            for name in stale:  # of a run that made lists of its own
                (self.path / name).unlink()
        for path in self.old:
            if path.name == ASIDE:
                self._drop_aside()
            else:
                _delete(path)
        self.old = []

    def clean_up(self) -> None:
        """Removes the folders and logs of a run that never began.

        Its list of images that are not used stays: it is moved beside a folder that is
        deleted, or up in one that was there before, and the place is printed.
        """
        # Deleting a folder opens it, which fails in a run without free file handles.
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
        try:
            self._delete_new()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    def _keep_not_used(self) -> None:
        listed = self.path / LISTS / NOT_USED
        older = self.path / ASIDE / NOT_USED
        its_own = LISTS in self.known and not older.parent.is_dir() and self.path == self.run
        if its_own or not (listed.is_file() and listed.stat().st_size):
            return
        if older.is_file() and older.read_bytes() == listed.read_bytes():
            return  # the older run's, which comes back
        stays = self.run.is_dir() and self.run not in self.new
        kept = self.run / NOT_USED if stays else self.run.with_name(f'{self.run.name}_{NOT_USED}')
        os.replace(listed, kept)
        print(f'this run is not kept; its {NOT_USED} is now {kept}', flush=True)

    def _delete_new(self) -> None:
        self._keep_not_used()
        if self.path in self.new:
            shutil.rmtree(self.path, ignore_errors=True)
        elif self.path.is_dir():
            for path in self.path.iterdir():
                if path.name not in self.known and (
                    LOGS.fullmatch(path.name) or path.name in ITS_OWN
                ):
                    _delete(path)
            self._put_back()
        for parent in self.new[1:]:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
