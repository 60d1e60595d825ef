"""What a run does when the machine gives out: python tools/reliability/resources.py --write.

Each case takes something from a small run (disk, rights, memory, open files,
a worker, a process, its folder) or signals it, and holds what it says and
leaves against what docs/reliability.md says it does.  Prints one line.
"""

import argparse
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import torch
from mmengine.hooks import Hook

import tiny_runs
from report import measured, write_section
from tiny_runs import Run, losses

CONFIG = 'simclr_resnet18_1xb64-coslr-8e_scenes'
LONG = 250  # epochs of 4 steps: a run that ends by what is done to it
ALLOWED = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root writes anywhere with them


class NotHere(Exception):
    """This machine does not let the case be made."""


class Scene:
    """A folder with a config and what runs of it do.

    Args:
        folder (Path): An empty folder.
        epochs (int): Epochs of 4 steps, with a checkpoint every second step. Defaults to
            LONG.
        workers (int): Workers of the loader. Defaults to 0.
        processes (int): Processes of a run. Defaults to 1.
    """

    def __init__(self, folder: Path, epochs: int = LONG, workers: int = 0, processes: int = 1):
        self.folder, self.work, self.processes = folder, folder / 'run', processes
        self.config = tiny_runs.write_config(
            folder / 'scene.py', CONFIG, epochs=epochs, workers=workers, processes=processes
        )
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

    def goes_on(self, work: Optional[Path] = None) -> None:
        """Notes a folder with half a file, or one that a run cannot go on in."""
        work = work or self.work
        self.check(not list(work.glob('.*.incomplete')), 'a partial file is left')
        text = self.config.read_text()
        self.config.write_text(text.replace(f'{LONG}', '1'))  # a run that is finished, then
        run = self.start('--resume', work=work)
        code, said = run.wait(120), run.log.read_text()
        self.config.write_text(text)
        self.check(code == 0 and 'is finished' in said, f'does not go on: {said[-1500:]}')


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


# ------------------------------------------------------------------- disk, rights
def full_disk(folder: Path) -> List[str]:
    """A file system without room for a further checkpoint."""
    scene = Scene(folder)
    with small_disk(folder / 'small', 40) as disk:
        scene.work = disk / 'run'
        run = scene.start()
        scene.after(run, 5)
        with open(disk / 'other', 'wb') as other:
            try:
                while True:
                    other.write(bytes(1 << 16))
                    other.flush()
            except OSError:
                pass
        scene.expect(run, 1, f'{scene.work}/', 'No space left on device', 'iter_')
        (disk / 'other').unlink(missing_ok=True)
        scene.goes_on()
    return scene.faults


def size_limit(folder: Path) -> List[str]:
    """A limit of a file's size (a quota acts alike) below that of a checkpoint."""
    scene = Scene(folder)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

    run = scene.start(limit=limit)
    scene.expect(run, 1, f'cannot write {scene.work}/iter_2.pth: File too large', 'none was saved')
    scene.check(not list(scene.work.glob('*.pth*')), 'a checkpoint is left')
    return scene.faults


def read_only(folder: Path) -> List[str]:
    """A work dir that may not be made."""
    scene = Scene(folder)
    closed = folder / 'closed'
    closed.mkdir(mode=0o555)
    run = scene.start(limit=without_rights, work=closed / 'run')
    scene.expect(run, 1, 'Permission denied', closed / 'run')
    scene.check(not list(closed.iterdir()), 'something is left')
    return scene.faults


def turned_read_only(folder: Path) -> List[str]:
    """A work dir that is closed under way."""
    scene = Scene(folder)
    run = scene.start(limit=without_rights)
    scene.after(run, 5)
    scene.work.chmod(0o555)
    scene.expect(run, 1, f'cannot write {scene.work}/iter_', 'Permission denied', 'iter_')
    scene.work.chmod(0o755)
    scene.goes_on()
    return scene.faults


# -------------------------------------------------------------- workers, processes
def killed_worker(folder: Path) -> List[str]:
    """A loader's worker is killed, as by the kernel where memory is short."""
    scene = Scene(folder, workers=2)
    run = scene.start()
    scene.after(run, 5)
    os.kill(children(run.pids[0])[0], signal.SIGKILL)
    scene.expect(run, 1, 'worker', 'Killed', '--resume')
    scene.goes_on()
    return scene.faults


def killed_process(folder: Path) -> List[str]:
    """One of two processes is killed."""
    scene = Scene(folder, processes=2)
    run = scene.start()
    scene.after(run, 5)
    os.kill(run.pids[1], signal.SIGKILL)
    began = time.monotonic()
    scene.expect(run, 1, 'another process', '--resume')
    scene.check(time.monotonic() - began < 60, 'the other process waits')
    scene.goes_on()
    return scene.faults


def signaled(signum: int, status: int) -> Callable[[Path], List[str]]:
    """A signal that asks to stop."""

    def case(folder: Path) -> List[str]:
        scene = Scene(folder)
        run = scene.start()
        scene.after(run, 5)
        os.kill(run.pids[0], signum)
        scene.expect(run, status, signal.Signals(signum).name, 'saved', '--resume')
        scene.goes_on()
        return scene.faults

    return case


# ---------------------------------------------------------------------- the folder
def second_run(folder: Path) -> List[str]:
    """A second run in the work dir of one at work."""
    scene = Scene(folder)
    run = scene.start()
    scene.after(run, 1)
    other = Scene(Path(tempfile.mkdtemp(dir=folder)))
    second = other.start('--resume', work=scene.work)
    other.expect(second, 1, 'another run is training in', f'process {run.pids[0]}')
    scene.check(run.poll() is None, 'the first run ended')
    run.kill()
    return scene.faults + other.faults


def old_run(folder: Path) -> List[str]:
    """A fresh run in the work dir of an older one."""
    scene = Scene(folder, epochs=1)
    scene.check(scene.start().wait(120) == 0, 'the older run failed')
    before = {path: path.stat().st_mtime_ns for path in scene.work.rglob('*')}
    scene.expect(scene.start(), 1, '--resume', '--overwrite')
    now = {path: path.stat().st_mtime_ns for path in scene.work.rglob('*')}
    scene.check({**now, scene.work: 0} == {**before, scene.work: 0}, 'something changed')
    return scene.faults


# ---------------------------------------------------------------- memory, and others
def refused_memory(folder: Path) -> List[str]:
    """An allocation is refused before the first step."""
    scene = Scene(folder)

    def limit() -> None:
        used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20), used + (100 << 20)))

    batch = ['train_dataloader.batch_size=1024', 'train_dataloader.dataset.indices=1024']
    run = scene.start('--cfg-options', *batch, limit=limit)
    scene.expect(run, 2, 'memory', 'train_dataloader.batch_size')
    scene.check(not scene.work.exists(), 'the work dir is left')
    return scene.faults


def refused_memory_later(folder: Path) -> List[str]:
    """An allocation is refused under way."""
    scene = Scene(folder)
    run = scene.start(hooks=[TakesMemory()])
    scene.expect(run, 1, 'memory', '--resume')
    scene.goes_on()
    return scene.faults


def no_files(folder: Path) -> List[str]:
    """No further file may be opened, before the first step."""
    scene = Scene(folder)

    def limit() -> None:
        count = len(os.listdir('/proc/self/fd'))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + 6, hard))

    # MMEngine raises the limit to that of the config
    options = ['train_dataloader.num_workers=8', 'env_cfg.resource_limit=1']
    run = scene.start('--cfg-options', *options, limit=limit)
    scene.expect(run, 1, 'Too many open files')
    scene.check(not scene.work.exists(), 'the work dir is left')
    return scene.faults


def taken_port(folder: Path) -> List[str]:
    """Another program listens at MASTER_PORT."""
    scene = Scene(folder)
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        place = dict(RANK='0', LOCAL_RANK='0', WORLD_SIZE='2', MASTER_ADDR='127.0.0.1')
        place['MASTER_PORT'] = str(other.getsockname()[1])
        run = scene.start(limit=lambda: os.environ.update(place))
        scene.expect(run, 1, place['MASTER_PORT'])
    scene.check(not scene.work.exists(), 'the work dir is left')
    return scene.faults


class Case(NamedTuple):
    """What happens, what the run does, and how that is tried."""

    happens: str
    does: str
    try_it: Callable[[Path], List[str]]


SAVES = 'saves after the running step, says so, exit status {}; `--resume` goes on exactly'
CASES: Dict[str, Case] = {
    'full_disk': Case(
        'the disk is full (a small file system)',
        'names the path and the last good checkpoint, leaves no partial file, exit status 1; with '
        'room again `--resume` goes on',
        full_disk,
    ),
    'size_limit': Case(
        'a file may not get as long as a checkpoint (quota, `ulimit -f`)',
        'names the path, says that none was saved, leaves no partial file, exit status 1',
        size_limit,
    ),
    'read_only': Case(
        'the work dir may not be made', 'names it, leaves nothing, exit status 1', read_only
    ),
    'turned_read_only': Case(
        'the work dir becomes read-only under way',
        'names path and last good checkpoint, exit status 1; `--resume` goes on',
        turned_read_only,
    ),
    'killed_worker': Case(
        "a loader's worker is killed (out of memory)",
        'says so, names the last good checkpoint, exit status 1; `--resume` goes on',
        killed_worker,
    ),
    'killed_process': Case(
        'one of two processes is killed',
        'the other says so within a minute, exit status 1; `--resume` goes on',
        killed_process,
    ),
    'SIGTERM': Case('SIGTERM', SAVES.format(143), signaled(signal.SIGTERM, 143)),
    'SIGHUP': Case('SIGHUP', SAVES.format(143), signaled(signal.SIGHUP, 143)),
    'SIGUSR1': Case('SIGUSR1', SAVES.format(143), signaled(signal.SIGUSR1, 143)),
    'SIGINT': Case('SIGINT (Ctrl-C)', SAVES.format(130), signaled(signal.SIGINT, 130)),
    'second_run': Case(
        'a second run in the work dir of one at work',
        'is refused and names the process at work, which goes on; exit status 1',
        second_run,
    ),
    'old_run': Case(
        'a fresh run in the work dir of an older one',
        'is refused, names `--resume` and `--overwrite`, changes nothing; exit status 1',
        old_run,
    ),
    'refused_memory': Case(
        'memory is refused before the first step',
        'names the field of the config that asks for it, leaves nothing, exit status 2',
        refused_memory,
    ),
    'refused_memory_later': Case(
        'memory is refused under way',
        'says so, names the last good checkpoint, exit status 1; `--resume` goes on',
        refused_memory_later,
    ),
    'no_files': Case(
        'no further file may be opened', 'says so, leaves nothing, exit status 1', no_files
    ),
    'taken_port': Case(
        "another program listens at the group's port",
        'names the port, leaves nothing, exit status 1',
        taken_port,
    ),
}


def try_case(name: str) -> List[str]:
    """What does not hold of a case.

    Raises:
        NotHere: If this machine does not let it be made.
    """
    with tempfile.TemporaryDirectory(prefix='mssl-resources-') as folder:
        return CASES[name].try_it(Path(folder))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Tries every case; 1 if any does something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', choices=CASES, metavar='CASE', help=', '.join(CASES))
    parser.add_argument('--write', action='store_true', help='write docs/reliability.md')
    args = parser.parse_args(argv)
    tiny_runs.preload()
    rows, wrong, not_here = [], 0, 0
    for name in args.only or CASES:
        case, began = CASES[name], time.monotonic()
        try:
            faults = try_case(name)
            seen = 'no' if faults else 'yes'
        except NotHere as error:
            faults, seen = [], f'not tried: {error}'
            not_here += 1
        wrong += bool(faults)
        rows.append(f'| {case.happens} | {case.does} | {seen} |')
        shown = f'{name}: {seen} [{time.monotonic() - began:.0f} s]'
        print(shown, *faults, sep='\n  ', file=sys.stderr, flush=True)
    line = (
        f'{len(rows)} cases of a machine that gives out or a signal: {wrong} end otherwise than '
        f'the table says, {not_here} not tried'
    )
    print(line)
    if args.write:
        table = ['| what happens | what a run does | seen |', '| --- | --- | --- |', *rows]
        write_section(
            'resources', ['## Resources', '', *measured('resources.py', line), '', *table]
        )
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
