"""Training runs in processes of their own that need no second to start.

A server imports torch and OpenMMLab once; every run is forked from it, does
what ``python tools/train.py`` does, and can be killed like any process.
"""

import multiprocessing
import multiprocessing.forkserver
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from helpers.paths import ROOT
from helpers.tools import tool

free_port = tool('reliability/forked').free_port


class Outcome(NamedTuple):
    """How a run ended."""

    status: int
    text: str  # stdout and stderr

    @property
    def error(self) -> str:
        """The lines that begin with ``error``."""
        return '\n'.join(line for line in self.text.splitlines() if line.startswith('error'))


def _served(argv, log, folder, quiet, env):
    os.environ.update(env)
    assert 'helpers.warm' in sys.modules, 'the server has imported nothing: runs would take long'
    train(argv, log, folder, quiet)


def _take_over(folder, out, err):
    """Makes this process one of its own, whose output goes to files."""
    os.chdir(folder)
    # A shell's background jobs, and what they start, ignore the first, under nohup the second.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # The server's own method; MMEngine warns where it sets another one.
    multiprocessing.set_start_method('fork', force=True)
    with open(out, 'a') as first, open(err, 'a') as second:
        os.dup2(first.fileno(), 1)
        os.dup2(second.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(n), 'w', 1) for n in (1, 2))


def train(argv, log, folder, quiet=False):
    """What ``tools/train.py`` does, in this process; its output goes to a file."""
    log.write_text('')
    _take_over(folder, log, log)
    from mssl_plugins.commands.train import main

    sys.exit(main(argv if quiet else [*argv, '--verbose']))


def server():
    """The context of the server, which has imported what takes long."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['helpers.warm'])
    # The server takes no path from this process but by the environment, and
    # leaves out in silence what it cannot import.
    given = [
        p for p in os.environ.get('PYTHONPATH', '').split(os.pathsep) if p not in ('', str(ROOT))
    ]
    os.environ['PYTHONPATH'] = os.pathsep.join([str(ROOT), str(ROOT / 'tests'), *given])
    multiprocessing.forkserver.ensure_running()
    os.environ['PYTHONPATH'] = os.pathsep.join([str(ROOT), *given])
    return context


def _script(argv, folder, env, output):
    """What ``python ARGUMENTS`` does, in this process."""
    os.environ.clear()
    os.environ.update(env)
    _take_over(folder, *output)
    sys.path[:0] = [p for p in env.get('PYTHONPATH', '').split(os.pathsep) if p]
    if argv[0] == '-m':
        sys.argv, sys.path[:0] = argv[1:], [str(folder)]
        runpy.run_module(argv[1], run_name='__main__', alter_sys=True)
    elif argv[0] == '-c':
        sys.argv = ['-c', *argv[2:]]
        exec(argv[1], dict(__name__='__main__'))
    else:
        sys.argv = argv
        sys.path.insert(0, os.path.dirname(os.path.join(folder, argv[0])))
        runpy.run_path(argv[0], run_name='__main__')


def start_script(argv, folder: Path, env: dict, output):
    """``python ARGUMENTS`` in a process that has imported OpenMMLab already, begun."""
    process = server().Process(target=_script, args=([*map(str, argv)], folder, env, output))
    process.start()
    return process


def run_script(
    argv, folder: Path, env: dict, seconds: float, fresh: bool = False
) -> subprocess.CompletedProcess:
    """The same, waited for; ``fresh`` starts Python anew instead."""
    if fresh:
        return subprocess.run(
            [sys.executable, *argv],
            cwd=folder,
            timeout=seconds,
            env=env,
            text=True,
            capture_output=True,
        )
    with tempfile.TemporaryDirectory() as place:
        output = [Path(place, name) for name in ('stdout', 'stderr')]
        process = start_script(argv, folder, env, output)
        process.join(seconds)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired(argv, seconds)
        said = [file.read_text() for file in output]
    return subprocess.CompletedProcess(argv, process.exitcode, *said)


class Training:
    """A run of ``train.py`` with the given arguments, already started."""

    def __init__(self, folder: Path, *argv, quiet: bool = False, env: dict = {}) -> None:
        self.log = folder / f'output{env.get("RANK", "")}.txt'
        self.process = server().Process(
            target=_served, args=([*map(str, argv)], self.log, folder, quiet, env)
        )
        self.process.start()

    def kill(self) -> bool:
        """SIGKILL; returns whether the run was still alive."""
        alive = self.process.is_alive()
        self.process.kill()
        self.process.join()
        return alive and self.process.exitcode == -9

    def wait(self, seconds: float = 900) -> Outcome:
        """Waits for its end."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.kill()
            raise TimeoutError(self.log.read_text()[-2000:])
        return Outcome(self.process.exitcode, self.log.read_text())


def places_of(number: int) -> list:
    """What torchrun tells each of so many processes on one machine, by their environment."""
    place = dict(WORLD_SIZE=str(number), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(free_port()))
    return [dict(place, RANK=str(i), LOCAL_RANK=str(i)) for i in range(number)]


def train_in_processes(
    folder: Path, number: int, *argv, seconds: float = 300, quiet: bool = False
) -> Outcome:
    """Waits for a run in several processes over gloo; the first status that is not 0."""
    places = places_of(number) if number > 1 else [{}]
    runs = [Training(folder, *argv, quiet=quiet, env=env) for env in places]
    ends = [run.wait(seconds) for run in runs]
    status = next((end.status for end in ends if end.status), 0)
    return Outcome(status, '\n'.join(end.text for end in ends))
