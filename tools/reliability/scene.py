"""A small run that something is done to, and what takes its disk, rights or memory."""

import ctypes
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

import torch
from mmengine.hooks import Hook

import tiny_runs
from tiny_runs import Run, losses

CONFIG = 'simclr_resnet18_1xb64-coslr-8e_scenes'
LONG = 250  # epochs of 4 steps: a run that ends by what is done to it
LATE = 'it takes longer than the table says'
ALLOWED = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root writes anywhere with them


class NotHere(Exception):
    """This machine does not let the case be made."""


class Scene:
    """A folder with a config and what runs of it do.

    Args:
        folder (Path): An empty folder.
        epochs (int): Epochs of 4 steps. Defaults to LONG.
        workers (int): Workers of the loader. Defaults to 0.
        processes (int): Processes of a run. Defaults to 1.
        save (int): Steps between checkpoints. Defaults to 2.
    """

    def __init__(
        self, folder: Path, epochs: int = LONG, workers: int = 0, processes: int = 1, save: int = 2
    ):
        self.folder, self.work, self.processes = folder, folder / 'run', processes
        self.write = partial(
            tiny_runs.write_config, name=CONFIG, workers=workers, processes=processes, save=save
        )
        self.config = self.write(folder / 'scene.py', epochs=epochs)
        self.faults: List[str] = []

    def start(self, *argv, limit=None, work: Optional[Path] = None, hooks: Sequence = ()) -> Run:
        """A run in the work dir, or another."""
        (self.folder / 'output.txt').unlink(missing_ok=True)
        argv = [self.config, '--no-validate', '--work-dir', work or self.work, *argv]
        return Run(argv, self.folder, self.processes, hooks, limit)

    def after(self, run: Run, step: int) -> None:
        """Waits until a step's loss is logged."""
        until = time.monotonic() + 120
        while max(losses(self.work), default=0) < step:
            if run.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f'no step {step}: {run.log.read_text()[-1500:]}')
            time.sleep(0.01)

    def expect(self, run: Run, status: int, *said, lines: int = 1) -> str:
        """Notes a fault if the exit status is another, or the error has other lines or words."""
        run.wait(120)
        code, text = run.codes[run.pids[0]], run.log.read_text(errors='replace')
        errors = [line for line in text.splitlines() if line.startswith(('error', 'stopped'))]
        if code != status:
            self.faults.append(f'exit status {code}, not {status}: {text[-1500:]}')
        if len(errors) != lines or any(str(word) not in '\n'.join(errors) for word in said):
            self.faults.append(f'says {errors}, not {said}: {text[-1500:]}')
        if 'Traceback' in text:
            self.faults.append(f'a traceback: {text[-3000:]}')
        return text

    def check(self, holds: bool, fault: str) -> None:
        """Notes what does not hold."""
        if not holds:
            self.faults.append(fault)

    def within(self, seconds: float, began: float) -> None:
        """Notes an end that comes too late after a time of ``time.monotonic``."""
        self.check(time.monotonic() - began < seconds, LATE)

    def goes_on(self, work: Optional[Path] = None) -> None:
        """Notes a folder with half a file, or one that a run cannot go on in."""
        work = work or self.work
        self.check(not list(work.glob('.*.incomplete')), 'a partial file is left')
        text = self.config.read_text()
        self.write(self.config, epochs=1)  # a run that is finished, then
        run = self.start('--resume', work=work)
        code, said = run.wait(120), run.log.read_text()
        self.config.write_text(text)
        self.check(code == 0 and 'is finished' in said, f'does not go on: {said[-1500:]}')


class TakesWorker(Hook):
    """Kills a loader's worker before the first step."""

    def before_train_iter(self, *_, **__) -> None:
        """Kills it; the loader raises where it learns of it."""
        os.kill(children(os.getpid())[0], signal.SIGKILL)
        time.sleep(60)


class TakesMemory(Hook):
    """Asks for more memory than there is at the sixth step."""

    def before_train_iter(self, runner, *_, **__) -> None:
        """Asks for the memory."""
        if runner.iter == 5:
            torch.zeros(1 << 50, dtype=torch.uint8)


def without_rights() -> None:
    """Takes from root the right to write where permissions forbid it."""
    libc = ctypes.CDLL(None, use_errno=True)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; twice 32 bits
    if libc.capget(head, sets):
        raise OSError(ctypes.get_errno(), 'capget')
    sets[0] &= ~sum(1 << n for n in ALLOWED)
    if libc.capset(head, sets):
        raise OSError(ctypes.get_errno(), 'capset')


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path]:
    """A file system of so many MiB.

    Raises:
        NotHere: Where mounting is not allowed.
    """
    folder.mkdir()
    done = subprocess.run(
        ['mount', '-t', 'tmpfs', '-o', f'size={mib}m', 'none', str(folder)], capture_output=True
    )
    if done.returncode:
        raise NotHere('no file system may be mounted')
    try:
        yield folder
    finally:
        subprocess.run(['umount', '-l', str(folder)], check=True)


def children(pid: int) -> List[int]:
    """Processes that a process started."""
    return list(map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split()))
