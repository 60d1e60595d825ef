"""Commands of the library in a forked process, watched for what they touch."""

import hashlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

from forked import end_group, work_and_exit

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ('os.remove', 'os.rename', 'os.rmdir', 'os.mkdir', 'os.chmod', 'os.link', 'os.symlink')


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        status (int): The exit status; negative: the signal that ended it.
        hung (bool): Whether it had to be ended.
        text (str): stdout and stderr.
        written (List[str]): What it opened for writing, or changed, outside of its folder.
    """

    status: int
    hung: bool
    text: str
    written: List[str]

    @property
    def kind(self) -> str:
        """'ran', 'refused' (one line that says why), 'traceback', 'hung' or 'crashed'."""
        if self.hung or self.status < 0:
            return 'hung' if self.hung else 'crashed'
        if 'Traceback (most recent' in self.text:
            return 'traceback'
        return 'refused' if self.status else 'ran'


def snapshot(folder: Path, leave_out: Path) -> Dict[str, str]:
    """Every file below a folder with a hash of its content, links as they are."""
    found = {}
    for path in sorted(folder.rglob('*')):
        if path == leave_out or leave_out in path.parents:
            continue
        if path.is_symlink():
            found[str(path)] = os.readlink(path)
        elif path.is_file():
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[str(path)] = 'folder or device'
    return found


def _watch(allowed: Sequence[str], report: int) -> None:
    """Notes what Python opens for writing or changes elsewhere, from now on."""

    def hook(event: str, args: tuple) -> None:
        if event == 'open':
            path, _, flags = args
            paths = [path] if isinstance(flags, int) and flags & WRITING else []
        elif event in CHANGES:
            paths = args[:2] if event in ('os.rename', 'os.link', 'os.symlink') else args[:1]
        else:
            return
        for path in paths:
            if isinstance(path, (str, bytes, os.PathLike)):
                name = os.path.abspath(os.fsdecode(path))
                if event == 'open':
                    name = os.path.realpath(name)
                else:  # the link itself is what goes or comes
                    folder, last = os.path.split(name)
                    name = os.path.join(os.path.realpath(folder), last)
                if not name.startswith(tuple(allowed)):
                    os.write(report, f'{event} {name!a}\n'.encode())

    sys.addaudithook(hook)


def run_command(argv: Sequence[str], target: Path, log: Path, seconds: float = 120) -> Ended:
    """Runs ``python -m mssl_plugins ARGV`` in a fork of this process.

    Args:
        argv (Sequence[str]): The arguments.
        target (Path): The only folder in which files may change; the process stands in it.
        log (Path): A file for its output; what it touches is noted beside it.
        seconds (float): Time after which it is ended. Defaults to 120.

    Returns:
        Ended: How it ended.
    """
    written = log.with_suffix('.written')
    written.touch()
    log.write_text('')

    def work() -> int:
        tempfile.tempdir = str(target)
        report = os.open(written, os.O_WRONLY | os.O_APPEND)
        sys.dont_write_bytecode = True  # what is imported late would be noted in a new checkout
        _watch([str(target), '/dev/', '/proc/self'], report)
        from mssl_plugins.commands.main import main

        return main(list(map(str, argv)))

    pid = os.fork()
    if not pid:
        work_and_exit(work, target, log)
    end = time.monotonic() + seconds
    hung = False
    while True:
        done, code = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > end:
            hung = True
            end_group(pid)
            code = os.waitpid(pid, 0)[1]
            break
        time.sleep(0.02)
    text, outside = log.read_text(errors='replace'), written.read_text().splitlines()
    return Ended(os.waitstatus_to_exitcode(code), hung, text, outside)


def preload() -> None:
    """Imports what takes seconds, before anything is forked."""
    import torch

    torch.set_num_threads(1)  # the pool of threads does not survive a fork
    import cv2

    cv2.setNumThreads(0)
    import matplotlib.font_manager  # noqa: F401 - makes folders of its own in the home

    from mssl_plugins.errors import require

    require('mmpretrain')
    for command in ('train', 'knn', 'evaluate', 'extract', 'export', 'visualize', 'make_segments'):
        __import__(f'mssl_plugins.commands.{command}')
    for package in ('models', 'datasets', 'engine', 'training', 'evaluation.runner'):
        __import__(f'mssl_plugins.{package}')
