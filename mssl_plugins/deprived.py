"""What may be taken from a running training: a worker, a process, memory, the disk."""

import errno
import logging
import signal
import sys
from multiprocessing.connection import wait
from traceback import walk_tb

from mmengine.runner import Runner

from mssl_plugins.errors import UserError, memory_refused, message
from mssl_plugins.work_dir import last_checkpoint

# Messages of the libraries when a run was deprived of something, and of what.
LOSSES = {
    'DataLoader worker': "a data loader's worker was ended",
    ' by peer': 'another process of the run is gone',  # the connection is closed or reset
    'Timed out waiting': 'another process of the run does not answer',
}
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)  # what only a write meets
REBUILT = 'torch.multiprocessing.reductions'  # where a worker's tensors are received


def deprived(error: BaseException, work_dir: str) -> BaseException:
    """The one-line error for what a running training was deprived of; others as they are.

    Args:
        error (BaseException): What ended the training.
        work_dir (str): Whose last checkpoint the line names.

    Returns:
        BaseException: A UserError, or ``error`` itself.
    """
    if isinstance(error, UserError):
        return error
    ended = _worker_gone(error)
    text = message(ended) if isinstance(ended, RuntimeError) else ''
    said = next((said for part, said in LOSSES.items() if part in text), None)
    if memory_refused(error):
        said = 'no memory is left'
    elif isinstance(error, OSError) and error.errno in DISK:
        said, text = 'the run cannot write', str(error)
    if said is None:
        return error
    good = last_checkpoint(work_dir)
    rest = f'last good checkpoint: {good}; go on with --resume' if good else 'none was saved yet'
    return UserError(f'{said} ({text or type(error).__name__}); {rest}')


def _worker_gone(error: BaseException) -> BaseException:
    """How a loader's worker ended that broke the connection to it; else the error.

    The loader learns the reason from SIGCHLD (its handler raises RuntimeError). That
    may come after the connection broke, or find a worker that was asked for already.
    """
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    places = {frame.f_globals.get('__name__') for frame in frames}
    broke = isinstance(error, (ConnectionError, EOFError)) and REBUILT in places
    if not broke and 'exited unexpectedly' not in str(error):
        return error
    loaders = (getattr(frame.f_locals.get('self'), '_workers', None) for frame in frames)
    workers = {worker.sentinel: worker for worker in next(filter(None, loaders), ())}
    try:
        ended = [workers[sentinel] for sentinel in wait(list(workers), timeout=1)]
        for worker in ended:
            worker.join(1)
    except RuntimeError as said:
        return said
    # the others may have been asked to end since
    first = [w for w in ended if w.exitcode not in (0, -signal.SIGTERM)] or ended
    if not first:
        return error
    code = first[0].exitcode
    how = signal.strsignal(-code) if code and code < 0 else f'exit status {code}'
    return RuntimeError(f'DataLoader worker (pid {first[0].pid}): {how}')


def end_with_the_log(logger: logging.Logger) -> None:
    """Lets a run end by what it meets while it logs.

    Python prints such an error with its traceback and goes on. But the disk may be
    full, and a loader's handler of SIGCHLD raises wherever the process is.

    Args:
        logger (logging.Logger): Its handlers are changed in place.
    """
    for handler in logger.handlers:

        def meet(record: logging.LogRecord, stock=handler.handleError) -> None:
            if isinstance(sys.exc_info()[1], (OSError, RuntimeError)):
                raise
            stock(record)

        handler.handleError = meet


def end_workers(runner: Runner) -> None:
    """Ends the loaders' persistent workers: as garbage, each is waited for five seconds.

    Args:
        runner (mmengine.runner.Runner): After its training.
    """
    for loop in (runner._train_loop, runner._val_loop):
        kept = getattr(getattr(loop, 'dataloader', None), '_iterator', None)
        if kept is not None:
            kept._shutdown_workers()
