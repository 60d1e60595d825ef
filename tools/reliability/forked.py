"""What a process that was just forked does, its port and its memory; how it is held and ended."""

import itertools
import os
import re
import resource
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Callable, NoReturn

PORTS = 500  # of a block
# Checkouts that are tested at the same time have other process ids: they begin elsewhere.
_TRIED = itertools.count(os.getpid())


def work_and_exit(work: Callable[[], int], folder: Path, log: Path) -> NoReturn:
    """Does the work of a forked process, as the first of a group of its own, and ends it.

    SIGINT and SIGHUP take effect, even if the process that forked it ignores them.

    Args:
        work (Callable[[], int]): Returns the exit status, which is 1 after an exception.
        folder (Path): Where the process stands.
        log (Path): A file that its output is appended to.
    """
    status = 70
    try:
        os.setsid()
        # A shell's background jobs, and what they start, ignore SIGINT, under nohup SIGHUP.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(n), 'w', 1) for n in (1, 2))
        os.chdir(folder)
        status = work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status or 0)


def end_group(pid: int, signum: int = signal.SIGKILL) -> None:
    """Ends a forked process and what it started."""
    try:
        os.killpg(pid, signum)
    except ProcessLookupError:  # not yet a group of its own
        os.kill(pid, signum)


def held(pid: int, when: Callable[[], bool]) -> bool:
    """Stops a process, and lets it go on unless something holds while it stands still.

    Args:
        pid (int): The process.
        when (Callable[[], bool]): Says whether it stays stopped.

    Returns:
        bool: Whether it stands; False as well if it has ended.
    """
    with suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, signal.SIGSTOP)
        stat, state = Path(f'/proc/{pid}/stat'), ''
        while state not in ('T', 'Z', 'X'):
            time.sleep(0.0002)
            state = stat.read_text().rpartition(')')[2].split()[0]
        if state == 'T' and when():
            return True
        os.kill(pid, signal.SIGCONT)
    return False


def limit_memory(more: int) -> None:
    """Lets this process take so many bytes beyond what it has, a part of it by the fork."""
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))


def free_port() -> int:
    """A port that nobody has.

    It is none of those that the kernel gives to other sockets meanwhile, and each worker of
    pytest-xdist has a block of its own.

    Raises:
        OSError: If all of the block are taken.
    """
    worker = re.sub(r'\D', '', os.environ.get('PYTEST_XDIST_WORKER', ''))
    first = 10000 + PORTS * (int(worker or -1) + 1) % 20000
    for number in itertools.islice(_TRIED, PORTS):
        with socket.socket() as free, suppress(OSError):
            free.bind(('', first + number % PORTS))
            return first + number % PORTS
    raise OSError(f'no port from {first} to {first + PORTS - 1} is free')
