"""What may give out under a run: each case, how it is made, and what the page says of it."""

import gc
import os
import resource
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

from forked import held, limit_memory
from scene import Scene, TakesMemory, TakesWorker, children, small_disk, without_rights
from tiny_runs import Run


# ------------------------------------------------------------------- disk, rights
def full_disk(folder: Path) -> List[str]:
    """A file system without room for a further checkpoint."""
    scene = Scene(folder)
    with small_disk(folder / 'small', 40) as disk:
        run = _filled(scene, disk)
        scene.expect(run, 1, f'{scene.work}/', 'No space left on device', 'iter_')
        (disk / 'other').unlink(missing_ok=True)
        scene.goes_on()
    return scene.faults


def full_disk_log(folder: Path) -> List[str]:
    """A file system without room for a further line of the log."""
    scene = Scene(folder, save=10**6)
    with small_disk(folder / 'small', 40) as disk:
        scene.expect(_filled(scene, disk), 1, 'No space left on device', 'none was saved')
    return scene.faults


def _filled(scene: Scene, disk: Path) -> Run:
    """A run after whose fifth step the disk is full."""
    scene.work = disk / 'run'
    # unbuffered: closing must not write again what did not fit
    with open(disk / 'other', 'wb', buffering=0) as other:
        run = scene.start()
        scene.after(run, 5)
        try:
            while True:
                other.write(bytes(1 << 16))
        except OSError:
            return run


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


def between_saves(work: Path) -> bool:
    """Whether no checkpoint is being written, noted as the last one or deleted."""
    found = sorted(work.glob('iter_*.pth'), key=lambda path: int(path.stem[5:]))
    noted = Path((work / 'last_checkpoint').read_text())
    return found[-1:] == [noted] and len(found) <= 2 and not list(work.glob('.*.incomplete'))


def turned_read_only(folder: Path) -> List[str]:
    """A work dir that is closed under way."""
    scene = Scene(folder)
    run = scene.start(limit=without_rights)
    scene.after(run, 5)
    # in the middle of a save it could not even delete the partial file
    while run.poll() is None:
        if held(run.pids[0], lambda: between_saves(scene.work)):
            scene.work.chmod(0o555)
            os.kill(run.pids[0], signal.SIGCONT)
            break
        time.sleep(0.001)
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


def killed_worker_first(folder: Path) -> List[str]:
    """A loader's worker is killed before the first step is done."""
    scene = Scene(folder, workers=2)
    run = scene.start(hooks=[TakesWorker()])
    scene.expect(run, 1, 'worker', 'Killed', 'none was saved')
    scene.check(not scene.work.exists(), 'the work dir is left')
    return scene.faults


def killed_process(folder: Path) -> List[str]:
    """One of two processes is killed."""
    scene = Scene(folder, processes=2)
    run = scene.start()
    scene.after(run, 5)
    os.kill(run.pids[1], signal.SIGKILL)
    began = time.monotonic()
    scene.expect(run, 1, 'another process of the run is gone', '--resume')
    scene.within(60, began)
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
        gc.collect()  # what is freed later would be room
        limit_memory(100 << 20)

    batch = ['train_dataloader.batch_size=2048', 'train_dataloader.dataset.indices=2048']
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
        # the limit is one of their numbers, of which lower ones may be free
        further = [os.dup(0) for _ in range(6)]
        for file in further:
            os.close(file)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (further[-1] + 1, hard))

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
    'full_disk_log': Case(
        'the disk is full, and a line of the log is the next to be written',
        'says so, and that none was saved, exit status 1',
        full_disk_log,
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
    'killed_worker_first': Case(
        "a loader's worker is killed before the first step is done",
        'says so, leaves nothing, exit status 1',
        killed_worker_first,
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
