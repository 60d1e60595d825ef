"""What a process that was just forked does, and how it is ended with all that it started."""

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Callable, NoReturn


def work_and_exit(work: Callable[[], int], folder: Path, log: Path) -> NoReturn:
    """Does the work of a forked process, as the first of a group of its own, and ends it.

    SIGINT takes effect, even if the process that forked it ignores SIGINT.

    Args:
        work (Callable[[], int]): Returns the exit status, which is 1 after an exception.
        folder (Path): Where the process stands.
        log (Path): A file that its output is appended to.
    """
    status = 70
    try:
        os.setsid()
        # A shell's background jobs, and what they start, ignore SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
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
