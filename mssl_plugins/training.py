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
from pathlib import Path
from typing import Sequence

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mssl_plugins.distributed import open_process_group
from mssl_plugins.engine.hooks.checkpoint_hook import safe_loading


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
                if path.name not in self.known and re.fullmatch(r'\d{8}_\d{6}|config\.py',
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


class TrainingRun:
    """One run of a config.

    Args:
        cfg (mmengine.Config): See
            :func:`mssl_plugins.run_config.build_run_config`.
        hooks (Sequence[mmengine.hooks.Hook]): Further hooks, for a tool that
            trains as one of its steps. Defaults to ().

    Attributes:
        begun (bool): Whether one iteration is done. Before that any error is
            taken for a mistake in what was given.
    """

    def __init__(self, cfg: Config, hooks: Sequence[Hook] = ()) -> None:
        self.cfg, self.hooks, self.begun = cfg, hooks, False

    def train(self) -> None:
        """Trains; a run that fails before its first iteration leaves no trace on the disk."""
        safe_loading()
        main = int(os.environ.get('RANK', 0)) == 0
        cleanup = WorkDirCleanup(self.cfg.work_dir) if main else None
        try:
            self._train()
        except BaseException:
            if cleanup and not self.begun:
                cleanup.remove()
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
        runner = RUNNERS.build(self.cfg) if 'runner_type' in self.cfg \
            else Runner.from_cfg(self.cfg)
        for hook in (*self.hooks, _Begin(self)):
            runner.register_hook(hook, priority='LOWEST')
        runner.train()
