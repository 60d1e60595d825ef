"""A run in pieces: trained in a process of its own, stopped by the clock, gone on with later."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional

from evidence_tool.study import ROOT
from mssl_plugins.errors import ConfigError, UserError


def require_gpu(what: str) -> None:
    """Refuses what takes a GPU where there is none.

    Raises:
        ConfigError: If torch finds none.
    """
    import torch

    if not torch.cuda.is_available():
        raise ConfigError('', f'{what}: torch {torch.__version__} finds no GPU here')


def machine(device: str, how: str = ', float32') -> str:
    """The type of machine, and how it computes: only runs of the same type are compared.

    Raises:
        ConfigError: If it is a GPU's, and there is none.
    """
    import torch

    version = torch.__version__.split('+')[0]
    if device == 'cuda':
        require_gpu('this size runs on a GPU')
        return f'{torch.cuda.get_device_name()}, torch {version}{how}'
    cpu = platform.processor() or platform.machine()
    if Path('/proc/cpuinfo').exists():
        fields = dict(
            line.split(':', 1)
            for line in Path('/proc/cpuinfo').read_text().splitlines()
            if ':' in line
        )
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        cpu = fields.get('model name', cpu)
        if 'model' in fields:  # the name alone need not tell generations apart
            cpu += f' (family {fields.get("cpu family")}, model {fields["model"]})'
    return f'{cpu}, torch {version}{how}'


def environment(device: str, threads: int) -> Dict[str, str]:
    """Of the processes that train and measure."""
    env = dict(
        os.environ,
        OMP_NUM_THREADS=str(threads),
        MKL_NUM_THREADS=str(threads),
        PYTHONPATH=os.pathsep.join(
            [str(ROOT), str(ROOT / 'tools'), os.environ.get('PYTHONPATH', '')]
        ),
    )
    if device == 'cpu':
        env['CUDA_VISIBLE_DEVICES'] = ''
    return env


class Clock:
    """When to stop.

    Args:
        minutes (float, optional): From now. Defaults to None: never.
    """

    def __init__(self, minutes: Optional[float] = None) -> None:
        self.end = None if minutes is None else time.monotonic() + 60 * minutes

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return float('inf') if self.end is None else self.end - time.monotonic()


RUNNING = set()  # the processes of `call`


def end_on_sigterm() -> None:
    """A terminated tool ends its pieces: they would go on writing beside the next ones.

    Their CPU seconds are not counted, as after Ctrl-C.
    """

    def end(*_):
        for process in list(RUNNING):  # threads change it
            process.kill()
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)


def call(command: List[str], log: Path, env: Dict[str, str], seconds: float) -> Optional[float]:
    """Runs a command for so long at most.

    Returns:
        float | None: CPU seconds that it took; None if it was stopped.

    Raises:
        UserError: If it failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with open(log, 'a') as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=ROOT)
    RUNNING.add(process)
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - begin > seconds:
                process.kill()
                _, _, usage = os.wait4(process.pid, 0)
                process.returncode = -9
                add_seconds(log.parent, usage)
                return None
            time.sleep(0.1)
    except BaseException:  # the run dies with the tool
        process.kill()
        os.wait4(process.pid, 0)
        raise
    finally:
        RUNNING.discard(process)
    process.returncode = os.waitstatus_to_exitcode(status)
    add_seconds(log.parent, usage)
    if process.returncode:
        raise UserError(f'{log.parent.name} ended with status {process.returncode}: see {log}')
    return usage.ru_utime + usage.ru_stime


def add_seconds(folder: Path, usage) -> None:
    """Notes the CPU seconds of a piece, summed over all of a run."""
    note = folder / 'seconds.txt'
    note.write_text(str(spent(folder) + usage.ru_utime + usage.ru_stime))


def spent(folder: Path) -> float:
    """CPU seconds of all pieces of a run."""
    note = folder / 'seconds.txt'
    return float(note.read_text()) if note.exists() else 0.0


def train(cfg, folder: Path, seconds: float, env: Dict[str, str]) -> bool:
    """A piece of a run, from its last checkpoint on.

    Returns:
        bool: Whether the run has reached its end.
    """
    done = folder / 'trained'
    if done.exists():
        return True
    folder.mkdir(parents=True, exist_ok=True)
    cfg.dump(folder / 'run.py')
    command = [
        sys.executable,
        str(ROOT / 'tools/train.py'),
        str(folder / 'run.py'),
        '--work-dir',
        str(folder),
        '--resume',
        'auto',
    ]
    if call(command, folder / 'output.txt', env, seconds) is None:
        return False
    done.write_text('')
    return True


def checkpoint(folder: Path) -> Optional[Path]:
    """The last checkpoint of a run, if it was trained to its end here."""
    note = folder / 'last_checkpoint'
    if not (folder / 'trained').exists() or not note.exists():
        return None
    path = folder / Path(note.read_text().strip()).name
    return path if path.exists() else None


def measure(study: str, size: str, kind: str, folder: Path, env: Dict[str, str]) -> dict:
    """The figures of a run, in a process of its own; see ``measure.py``."""
    out = folder / 'figures.json'
    command = [
        sys.executable,
        '-m',
        'evidence_tool.measure',
        study,
        size,
        kind,
        str(folder),
        str(out),
    ]
    call(command, folder / 'output.txt', env, float('inf'))
    return json.loads(out.read_text())


def curves(folder: Path) -> Dict[str, list]:
    """What a run logged of loss and k-NN: name -> [[iteration, value], ...].

    With MixMask ``loss`` is ``loss_base``, the loss of the unmixed views; earlier
    runs logged that as ``loss``.
    """
    from mssl_plugins.visualization.curves import read_curves

    logged = read_curves(str(folder))
    if 'loss_base' in logged:
        logged['loss'] = logged['loss_base']
    kept = {}
    for name in ('loss', 'knn/top1_k20'):
        points = logged.get(name, [])
        points = points[:: max(len(points) // 40, 1)]
        kept[name] = [[step, round(value, 4)] for step, value in points]
    return kept
