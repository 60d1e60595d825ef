"""Trains what a config describes, with MMEngine's own runner.

What OpenMMLab's ``train.py`` does, and:

- several processes on a machine without a GPU (over gloo; MMEngine's launcher
  always calls ``torch.cuda.set_device``);
- checkpoints are written atomically and run no code when read;
- a run that never begins leaves nothing behind.
"""
import gc
import os
import re
import shutil
import time
from pathlib import Path
from typing import Sequence

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mssl_plugins.catalogue import find
from mssl_plugins.checkpoints.loading import safe_loading
from mssl_plugins.console import ConsoleHook, QuietRunner, duration
from mssl_plugins.distributed import open_process_group
from mssl_plugins.run_config import build_run_config


class WorkDirCleanup:
    """Knows what a run adds to the disk, to take it away if it never begins.

    Args:
        work_dir (str): Of the run, which has not started.
    """

    def __init__(self, work_dir: str) -> None:
        self.work_dir = Path(work_dir).absolute()
        self.new = [p for p in (self.work_dir, *self.work_dir.parents) if not p.exists()]
        self.known = ({p.name for p in self.work_dir.iterdir()}
                      if self.work_dir.is_dir() else set())

    def remove(self) -> None:
        """Takes away the folders and logs that were not there before."""
        if self.work_dir in self.new:
            shutil.rmtree(self.work_dir, ignore_errors=True)
        elif self.work_dir.is_dir():
            for path in self.work_dir.iterdir():
                if path.name not in self.known and re.fullmatch(r'\d{8}_\d{6}|config\.py|images',
                                                                path.name):
                    (shutil.rmtree if path.is_dir() else os.unlink)(path)
        for parent in self.new[1:]:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


class _Begin(Hook):
    """Tells a run that one iteration is done."""
    priority = 'LOWEST'

    def __init__(self, run: 'TrainingRun') -> None:
        self.run = run

    def after_train_iter(self, *_, **__) -> None:
        """Notes it."""
        self.run.begun = True


class Checked(Exception):
    """A run that was only to be checked has been."""


class EstimateHook(Hook):
    """Times a few steps and says how long an epoch and the run take.

    Args:
        stop (bool): End the run then. Defaults to False.
        steps (int): To time, after two that are not. Defaults to 10.
    """
    priority = 'LOWEST'

    def __init__(self, stop: bool = False, steps: int = 10) -> None:
        self.stop, self.steps = stop, steps

    def before_train(self, runner) -> None:
        """Begins to count."""
        self.first = runner.iter
        total = runner.max_iters - runner.iter
        self.skipped = min(2, total - 1)
        self.until = min(self.skipped + self.steps, total)
        self.began = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Says it once."""
        done = runner.iter + 1 - self.first
        if done == self.skipped:
            self.began = time.perf_counter()
        if done != self.until:
            return
        step = (time.perf_counter() - self.began) / (self.until - self.skipped)
        epoch = step * len(runner.train_dataloader)
        runner.logger.info(
            f'{step:.3g} s a step: {duration(epoch)} an epoch, about '
            f'{duration(step * (runner.max_iters - self.first))} for the run')
        if self.stop:
            if runner.rank == 0:
                print(f'checked: {duration(epoch)} an epoch, about '
                      f'{duration(step * runner.max_iters)} for {runner.max_epochs} epochs; '
                      'nothing is kept', flush=True)
            raise Checked


class TrainingRun:
    """One run of a config.

    Args:
        cfg (mmengine.Config): See
            :func:`mssl_plugins.run_config.build_run_config`.
        hooks (Sequence[mmengine.hooks.Hook]): Further hooks, for a tool that
            trains as one of its steps. Defaults to ().
        check (bool): Stop once a few steps are timed. Defaults to False.
        verbose (bool): Show MMEngine's log on the console. Defaults to
            False: a bar, a line an epoch, warnings and errors.

    Attributes:
        begun (bool): Whether one iteration is done. Before that any error is
            taken for a mistake in what was given.
    """

    def __init__(self, cfg: Config, hooks: Sequence[Hook] = (), check: bool = False,
                 verbose: bool = False) -> None:
        self.cfg, self.hooks, self.check, self.begun = cfg, hooks, check, False
        self.verbose = verbose
        main = int(os.environ.get('RANK', 0)) == 0
        self.cleanup = WorkDirCleanup(cfg.work_dir) if main else None

    @classmethod
    def prepare(cls, hooks: Sequence[Hook] = (), check: bool = False, verbose: bool = False,
                **options) -> 'TrainingRun':
        """A run from what a user asked for; a mistake leaves nothing behind.

        Args:
            hooks (Sequence[Hook]): See the class. Defaults to ().
            check (bool): See the class. Defaults to False.
            verbose (bool): See the class. Defaults to False.
            **options: Of :func:`mssl_plugins.run_config.build_run_config`.
        """
        place = options.get('work_dir') or os.path.join('work_dirs', find(options['config']).stem)
        cleanup = WorkDirCleanup(place)
        try:
            run = cls(build_run_config(**options), hooks, check, verbose)
        except BaseException:
            if int(os.environ.get('RANK', 0)) == 0:
                cleanup.remove()
            raise
        if run.cleanup and Path(run.cfg.work_dir).absolute() == cleanup.work_dir:
            run.cleanup = cleanup
        return run

    def train(self) -> None:
        """Trains; a run that fails before its first iteration leaves no trace on the disk."""
        safe_loading()
        try:
            self._train()
        except Checked:
            if self.cleanup:
                self.cleanup.remove()
        except BaseException:
            if self.cleanup and not self.begun:
                self.cleanup.remove()
            raise
        dist = torch.distributed
        if dist.is_available() and dist.is_initialized():
            # A DDP wrapper that let go of the group last would wait for its
            # threads, which wait for Python.
            gc.collect()
            dist.destroy_process_group()

    def _train(self) -> None:
        if self.cfg.launcher != 'none':
            open_process_group(self.cfg.launcher)
        kind = Runner if self.verbose else QuietRunner
        runner = RUNNERS.build(self.cfg) if 'runner_type' in self.cfg else kind.from_cfg(self.cfg)
        shown = [] if self.verbose else [ConsoleHook()]
        for hook in (*self.hooks, *shown, EstimateHook(self.check), _Begin(self)):
            runner.register_hook(hook, priority='LOWEST')
        runner.train()
