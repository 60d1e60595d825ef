"""A run that is asked to stop finishes its current step and saves.

Schedulers preempt with SIGTERM, SIGHUP or SIGUSR1; SIGINT is Ctrl-C.
"""

import os
import signal
import threading
from typing import Optional

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import Hook

from mssl_plugins.engine.hooks.checkpoint_hook import AtomicCheckpointHook, stepped
from mssl_plugins.errors import Stopped

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT)
GO_ON = 'go on with the same command and --resume'


def status(signum: int) -> int:
    """The exit status after a signal: 130 for Ctrl-C, else 143."""
    return 128 + (signal.SIGINT if signum == signal.SIGINT else signal.SIGTERM)


class StopRequest:
    """A context in which signals that ask to stop are noted.

    A signal that is already ignored, as SIGHUP under ``nohup``, stays ignored.

    Attributes:
        signum (int, optional): The first that came.
        training (bool): Whether training has begun; before that a signal ends
            the process at once.
    """

    def __init__(self) -> None:
        self.signum: Optional[int] = None
        self.training = False
        self._before = {}

    def __enter__(self) -> 'StopRequest':
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                if signal.getsignal(signum) is not signal.SIG_IGN:
                    self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, *_) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def _note(self, signum: int, frame) -> None:
        if os.getpid() != self._process:
            return  # a worker
        again, self.signum = self.signum is not None, self.signum or signum
        if not self.training:
            raise Stopped(
                f'stopped by {signal.Signals(signum).name} before the first step', status(signum)
            )
        if again and signum == signal.SIGINT and 'WORLD_SIZE' not in os.environ:
            raise KeyboardInterrupt  # a second Ctrl-C does not wait


def _end_by_sigterm() -> None:
    """Lets SIGTERM end a pool's worker; workers of data loaders are _Shielded."""
    if getattr(signal.getsignal(signal.SIGTERM), '__func__', None) is StopRequest._note:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


os.register_at_fork(after_in_child=_end_by_sigterm)  # once, for it cannot be taken back


class StopHook(Hook):
    """Saves and ends the run after a signal.

    With several processes all stop at the same step.

    Args:
        request (StopRequest): Entered before training begins.
        save (bool): Whether the run is kept. Defaults to True.

    Raises:
        Stopped: After saving.
    """

    priority = 'LOWEST'

    def __init__(self, request: StopRequest, save: bool = True) -> None:
        self.request, self.save = request, save

    def before_train(self, runner) -> None:
        """From now on a signal takes effect at the end of a step."""
        loader = runner.train_dataloader
        if getattr(loader, 'num_workers', 0):
            loader.worker_init_fn = _Shielded(loader.worker_init_fn)
        self.request.training = True

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Checks whether this or another process received a signal.

        Raises:
            Stopped: After a signal, once the state is saved.
        """
        asked = self.request.signum or 0
        if is_distributed():
            flag = torch.tensor(asked)
            all_reduce(flag, 'max')
            asked = int(flag)
        done = runner.iter + 1
        if not asked or not stepped(runner) or done >= runner.max_iters:
            return
        raise Stopped(
            f'stopped by {signal.Signals(asked).name} after iteration {done} of '
            f'{runner.max_iters}; {self._saved(runner)}',
            status(asked),
        )

    def _saved(self, runner) -> str:
        """Saves the state, if it is kept; what is said of it."""
        if not self.save:
            return 'no run is kept'
        hook = next((h for h in runner.hooks if isinstance(h, AtomicCheckpointHook)), None)
        if not hook:
            return 'nothing is saved: the config has no AtomicCheckpointHook'
        return f'saved {hook.save_interim(runner)}; {GO_ON}'


class _Shielded:
    """A worker's start function, after which only its parent's SIGTERM ends it.

    Schedulers and torchrun signal the whole process group, and a worker that
    dies makes torch raise in the middle of the parent's step.
    """

    def __init__(self, start=None) -> None:
        self.start = start

    def __call__(self, worker: int) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=self._listen, args=(os.getppid(),), daemon=True).start()
        if self.start is not None:
            self.start(worker)

    @staticmethod
    def _listen(parent: int) -> None:
        while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
            pass
        os._exit(0)
