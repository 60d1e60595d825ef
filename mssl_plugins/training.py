"""Trains what a config describes, with MMEngine's own runner.

In addition to what OpenMMLab's ``train.py`` does:

- several processes on a machine without a GPU (over gloo; MMEngine's launcher
  always calls ``torch.cuda.set_device``);
- checkpoints are written atomically and run no code when read;
- a run that never begins leaves nothing behind, and no run overwrites another's folder;
- a run that is asked to stop saves first.
"""

import gc
import itertools
import time
from contextlib import suppress
from typing import Callable, Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import CheckpointHook, Hook
from mmengine.registry import RUNNERS
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.visualization import Visualizer
from torch.utils.data import DataLoader

from mssl_plugins.checkpoints.loading import safe_loading
from mssl_plugins.config import knn_hook
from mssl_plugins.config_errors import check_custom_keys, located
from mssl_plugins.config_tree import mark
from mssl_plugins.console import ConsoleHook, QuietRunner, duration
from mssl_plugins.deprived import deprived, end_with_the_log, end_workers
from mssl_plugins.distributed import first_process, open_process_group
from mssl_plugins.engine.hooks.monitor_hook import MonitorHook
from mssl_plugins.engine.hooks.report_hook import ReportHook
from mssl_plugins.engine.hooks.stop_hook import StopHook, StopRequest
from mssl_plugins.engine.malloc import keep_freed_memory
from mssl_plugins.engine.warm_up import end_short_warm_ups
from mssl_plugins.errors import ConfigError, Stopped, UserError, memory_refused
from mssl_plugins.models.unwrap import unwrap
from mssl_plugins.preflight import disk_line
from mssl_plugins.run_config import build_run_config, work_dir_of
from mssl_plugins.work_dir import WorkDir, beside

LONG = 2 * 3600  # s; a person may not expect a run to take longer
#: numbers the runs of this process
RUNS = itertools.count(1)


def _name_apart(cfg: Config) -> str:
    """Gives a run names that no earlier one of this process has.

    MMEngine keeps logger and message hub under a run's name and its second, and
    the visualizer under the name in its config: a second run would share them,
    and what it logs would go into the first one's folder.

    Returns:
        str: The run's name as it was.
    """
    name, number = cfg.get('experiment_name') or 'run', next(RUNS)
    if number > 1:
        cfg.experiment_name = f'{name}-{number}'
        if (cfg.get('visualizer') or {}).get('name'):
            cfg.visualizer.name = f'{cfg.visualizer.name}-{number}'
    return name


def _close_logs() -> None:
    """Ends the threads that write into a work dir, before it is deleted.

    A log that is not there, or that did not start and cannot be closed, is passed over:
    the error to tell is the one that ended the run.
    """
    for kind in (Visualizer, *Visualizer.__subclasses__()):
        with suppress(Exception):
            kind.get_current_instance().close()


class _Begin(Hook):
    """Mends schedules, prints where a resumed run starts, notes when one iteration is done."""

    def __init__(self, run: 'TrainingRun') -> None:
        self.run = run

    def before_run(self, runner) -> None:
        """Mends the schedules, which are built by now."""
        end_short_warm_ups(runner)

    def before_train(self, runner) -> None:
        """Prints where the run starts."""
        loop = runner.train_loop
        if not runner._resume or runner.rank:
            return
        if loop.iter >= loop.max_iters:
            print(
                f'{runner._load_from} is finished: all {loop.max_iters} iterations are done',
                flush=True,
            )
            return
        epoch = (
            f' (epoch {loop.epoch + 1} of {loop.max_epochs})'
            if isinstance(loop, EpochBasedTrainLoop)
            else ''
        )
        print(
            f'going on from {runner._load_from}: {loop.iter} of {loop.max_iters} iterations '
            f'are done{epoch}',
            flush=True,
        )

    def after_train_iter(self, *_, **__) -> None:
        """Notes that an iteration is done."""
        self.run.begun = True


class _Overwrite(Hook):
    """Deletes the old run once a step of the new one is done, before that saves."""

    def __init__(self, place: WorkDir) -> None:
        self.place = place

    def after_train_iter(self, *_, **__) -> None:
        """Deletes the old run, once."""
        self.place.forget_old()


class Checked(Exception):
    """Ends a run that was only to be checked."""


class EstimateHook(Hook):
    """Says what disk the checkpoints take and, by a few timed steps, how long an epoch takes.

    Args:
        stop (bool): Whether to end the run then. Defaults to False.
        say (Callable): Called with each line for the user, besides the log. Defaults to
            None: only the log has them.
    """

    priority = 'LOWEST'

    def __init__(self, stop: bool = False, say: Optional[Callable[[str], None]] = None) -> None:
        self.stop, self.say = stop, say or (lambda line: None)

    def before_train(self, runner) -> None:
        """Starts counting; refuses a disk on which the checkpoints do not fit."""
        if runner.rank == 0:
            line = disk_line(runner.work_dir, *_disk_of(runner))
            runner.logger.info(line)
            self.say(line)
        self.first = runner.iter
        total = runner.max_iters - runner.iter
        self.skipped = min(2, total - 1)
        self.until = min(self.skipped + 10, total)
        self.began = time.perf_counter()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Prints the estimate, once.

        Raises:
            Checked: After the estimate, where nothing but that is wanted.
        """
        done = runner.iter + 1 - self.first
        if done == self.skipped:
            self.began = time.perf_counter()
        if done != self.until:
            return
        step = (time.perf_counter() - self.began) / (self.until - self.skipped)
        epoch = step * len(runner.train_dataloader)
        line = (
            f'{step:.3g} s a step: {duration(epoch)} an epoch, about '
            f'{duration(step * (runner.max_iters - self.first))} for the run'
        )
        runner.logger.info(line)
        if not self.stop:
            self.say(line)
            return
        if runner.rank == 0:
            long = step * runner.max_iters > LONG
            print(
                f'checked: {duration(epoch)} an epoch, about '
                f'{duration(step * runner.max_iters)} for {runner.max_epochs} epochs'
                + (' (fewer --epochs or a smaller --size take less)' if long else '')
                + '; no run is kept',
                flush=True,
            )
        raise Checked


def _disk_of(runner: Runner) -> Tuple[int, int, int]:
    """Bytes of a checkpoint, number of checkpoints kept, bytes of all images' features."""
    state = sum(v.numel() * v.element_size() for v in unwrap(runner.model).state_dict().values())
    moments = 0  # the optimizer makes its moments at the first step
    wrappers = runner.optim_wrapper
    for wrapper in wrappers.values() if hasattr(wrappers, 'values') else [wrappers]:
        for group in wrapper.optimizer.param_groups:
            copies = 2 if 'betas' in group else bool(group.get('momentum'))
            moments += copies * sum(p.numel() * p.element_size() for p in group['params'])
    kept, images = 1, 0
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            length = runner.max_epochs if hook.by_epoch else runner.max_iters
            kept = hook.max_keep_ckpts if hook.max_keep_ckpts > 0 else length // hook.interval
        elif isinstance(hook, MonitorHook):
            images = (len(runner.train_dataloader.dataset) + hook.count) * hook.width
    return state + moments, max(kept, 1), 4 * images


class TrainingRun:
    """One run of a config.

    Args:
        cfg (mmengine.Config): See :func:`mssl_plugins.run_config.build_run_config`.
        hooks (Sequence[mmengine.hooks.Hook]): Further hooks, for a tool that
            trains as one of its steps. Defaults to ().
        check (bool): Stop once a few steps are timed. Defaults to False.
        verbose (bool): Show MMEngine's log on the console. Defaults to
            False: a bar, a line an epoch, warnings and errors.

    Attributes:
        begun (bool): Whether one iteration is done. Until then every error is
            treated as a mistake in the config or options.
        start (str, optional): The checkpoint that was asked for besides the config.
    """

    def __init__(
        self, cfg: Config, hooks: Sequence[Hook] = (), check: bool = False, verbose: bool = False
    ) -> None:
        self.cfg, self.hooks, self.check, self.begun = cfg, hooks, check, False
        self.verbose = verbose
        self.start: Optional[str] = None
        self.place = WorkDir(cfg.work_dir) if first_process() else None

    @classmethod
    def prepare(
        cls,
        hooks: Sequence[Hook] = (),
        check: bool = False,
        verbose: bool = False,
        overwrite: bool = False,
        **options,
    ) -> 'TrainingRun':
        """Makes a run from a user's options; a mistake leaves no files behind.

        Args:
            hooks (Sequence[Hook]): See the class. Defaults to ().
            check (bool): See the class. Defaults to False.
            verbose (bool): See the class. Defaults to False.
            overwrite (bool): Delete the run in the work dir once this one has
                made a step. Defaults to False: such a work dir is refused.
            **options: Arguments of :func:`mssl_plugins.run_config.build_run_config`.

        Returns:
            TrainingRun: Ready to train, its work dir locked.

        Raises:
            UserError: If another run is using the work dir, or an old run is in
                it and neither ``resume`` nor ``overwrite`` is given; for ``resume`` with
                ``overwrite`` or ``check``; and as
                :func:`mssl_plugins.run_config.build_run_config`.
        """
        resume = options.get('resume')
        if resume and overwrite:
            raise UserError('--resume goes on with a run, --overwrite deletes it: give one')
        if resume and check:
            raise UserError('--check looks at a run from its start: give it without --resume')

        path = work_dir_of(**options)
        # what a check writes goes into a folder of its own
        options['work_dir'] = str(beside(path)) if check else path
        place = WorkDir(path, check) if first_process() else None
        try:
            if place:
                place.lock()
                if not (resume or check):
                    place.start_over(overwrite)
                if not resume:
                    place.put_aside()
        except BaseException:
            place.release()  # what is in the folder is another run's
            raise
        try:
            cfg = build_run_config(**options)
            run = cls(cfg, hooks, check, verbose)
        except BaseException:
            if place:
                place.release()
                place.clean_up()
            raise
        run.place = place
        if resume or options.get('load_from'):
            run.start = cfg.get('load_from')
        if place and resume == 'auto' and not cfg.get('resume'):
            print(f'no checkpoint in {cfg.work_dir}: training starts at the beginning', flush=True)
        return run

    def train(self) -> None:
        """Trains; a run that fails before the end of its first iteration leaves no files.

        Raises:
            UserError: If there is nothing to train, or the run fails before the end of
                its first iteration; the message names the config's field, if it is found.
            Stopped: After a signal that asks to stop, once the state is saved.
        """
        safe_loading()
        try:
            with StopRequest() as request:
                self._train(request)
            if self.check:  # of a run without steps
                raise Checked
            if self.place:  # likewise: no step has done it
                self.place.forget_old()
        except Checked:
            self._clean_up()
        except Stopped:
            if self.check or not self.begun:
                self._clean_up()
            self._leave_group()
            raise
        except BaseException as error:
            # before the first iteration a refused memory is a mistake of the config
            asked = not self.begun and memory_refused(error)
            said = error if asked else deprived(error, self.cfg.work_dir)
            if not self.begun:
                _close_logs()
                self._clean_up()
                if said is error and isinstance(error, Exception):
                    said = located(error, self.cfg, self.start)
            if said is error:
                raise
            raise said from error
        finally:
            if self.place:
                self.place.release()
        self._leave_group()

    def _clean_up(self) -> None:
        if self.place:
            self.place.release()
            self.place.clean_up()

    @staticmethod
    def _leave_group() -> None:
        dist = torch.distributed
        if dist.is_available() and dist.is_initialized():
            # A DDP wrapper that let go of the group last would wait for its
            # threads, which wait for Python.
            gc.collect()
            dist.destroy_process_group()

    def _train(self, request: StopRequest) -> None:
        for key in ('max_epochs', 'max_iters'):
            length = self.cfg.train_cfg.get(key)
            # k-NN of the weights as they are, at epoch 0, is a run without training
            measures = (knn_hook(self.cfg) or {}).get('begin', 1) == 0
            if isinstance(length, (int, float)) and length < 1 and not measures:
                raise ConfigError(f'train_cfg.{key}', 'nothing to train', length)
        if self.cfg.launcher != 'none':
            options = self.cfg.get('env_cfg', {}).get('dist_cfg', {})
            open_process_group(self.cfg.launcher, options.get('timeout'))
        mark(self.cfg)
        name = _name_apart(self.cfg)
        kind = Runner if self.verbose else QuietRunner
        runner = RUNNERS.build(self.cfg) if 'runner_type' in self.cfg else kind.from_cfg(self.cfg)
        end_with_the_log(runner.logger)
        check_custom_keys(self.cfg, runner.model)
        _check_batches(runner.train_loop.dataloader)
        if self.place and self.place.old and not self.check:
            runner.register_hook(_Overwrite(self.place), priority='VERY_HIGH')
        shown = [] if self.verbose else [ConsoleHook(name, kept=not self.check)]
        for hook in (
            *self.hooks,
            *shown,
            *([] if self.check else [ReportHook()]),
            EstimateHook(self.check, shown[0].line if shown else None),
            _Begin(self),
            StopHook(request, save=not self.check),
        ):
            runner.register_hook(hook, priority='LOWEST')
        keep_freed_memory(torch.device(get_device()))
        try:
            runner.train()
        finally:
            end_workers(runner)


def _check_batches(loader: DataLoader) -> None:
    """Refuses a training set that does not fill one batch."""
    if len(loader) == 0:
        sampler = getattr(loader, 'sampler', None)
        images = len(sampler if sampler is not None else loader.dataset)
        raise ConfigError(
            'train_dataloader.batch_size',
            f'{images} images a process are fewer than a batch, and drop_last=True leaves out what '
            'fills none: nothing to train; give more images or a smaller --batch-size',
            loader.batch_size,
        )
