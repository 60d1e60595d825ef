"""What a person sees of a run: a bar, one line an epoch, warnings, errors.

Everything else goes into the log file.
"""

import io
import logging
import sys
import time
import warnings
from contextlib import redirect_stdout
from typing import List

from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

# Warnings of the dependencies that no user of this library can act on.
NOISE = (
    'Failed to search registry with scope',
    'The prefix is not set in metric',
    'will be deprecated',
    'Failed to get',
    'init_weights',
    'cannot be imported',
    'is deprecated',
    'FileClient',
    '"auto_scale_lr"',
    'since its requires_grad=False',
    'DeprecationWarning',
)


def duration(seconds: float) -> str:
    """A number of seconds as text: '42 s', '7 min' or '1.5 h'."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'


class QuietRunner(Runner):
    """MMEngine's runner; its logger shows warnings and errors on the console only."""

    def setup_env(self, env_cfg: dict) -> None:
        """The stock set-up, without warnings of other libraries."""
        warnings.filterwarnings('ignore', module='(?!mssl_plugins)')
        super().setup_env(env_cfg)

    def load_checkpoint(self, *args, **kwargs):
        """The stock way; what it prints goes into the log."""
        with redirect_stdout(io.StringIO()) as said:
            checkpoint = super().load_checkpoint(*args, **kwargs)
        for line in said.getvalue().splitlines():
            self.logger.info(line)
        return checkpoint

    def build_logger(self, *args, **kwargs):
        """The stock logger; its file keeps everything."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(
                handler, logging.FileHandler
            ):
                # Processes other than the first have a stricter level already.
                handler.setLevel(max(handler.level, logging.WARNING))
                handler.addFilter(
                    lambda record: (
                        record.levelno > logging.WARNING
                        or not any(part in record.getMessage() for part in NOISE)
                    )
                )
        return logger


class ConsoleHook(Hook):
    """A progress bar for the epoch, and one line after it.

    Args:
        name (str): Name of the run, to be shown.
        stream (TextIO, optional): Where to write. Defaults to None, stdout.
        kept (bool): Whether its log and checkpoints stay. Defaults to True.
    """

    priority = 'VERY_LOW'

    def __init__(self, name: str, stream=None, kept: bool = True) -> None:
        self.name, self.kept = name, kept
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.shown = True

    def before_train(self, runner) -> None:
        """Prints what is trained and where its log is."""
        self.shown = runner.rank == 0
        self.first, self.began, self.drawn = runner.iter, time.time(), 0.0
        begun = f' from iteration {runner.iter}' if runner.iter else ''
        self.by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        length = (
            f'{runner.max_epochs} epochs of {len(runner.train_dataloader)} steps'
            if self.by_epoch
            else f'{runner.max_iters} steps'
        )
        where = f'; log and checkpoints in {runner.work_dir}' if self.kept else ''
        self.line(f'training {self.name}{begun}: {length}{where}')
        baseline = [] if runner.iter else self._measured(runner)
        if baseline:
            self.line('  '.join(['initial weights', *baseline]))

    def before_train_epoch(self, runner) -> None:
        """Starts a new mean of the loss."""
        self.total, self.steps = 0.0, 0

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draws the bar, at most five times a second."""
        if not self.shown:
            return
        if outputs and 'loss' in outputs:
            self.total, self.steps = self.total + outputs['loss'].item(), self.steps + 1
        done, now = runner.iter + 1, time.time()
        if not self.live or now - self.drawn < 0.2:
            return
        self.drawn = now
        left = (now - self.began) / (done - self.first) * (runner.max_iters - done)
        bar = ('#' * (20 * done // runner.max_iters)).ljust(20, '.')
        place = (
            f'epoch {runner.epoch + 1}/{runner.max_epochs}'
            if self.by_epoch
            else f'step {done}/{runner.max_iters}'
        )
        self.stream.write(
            f'\r[{bar}] {place}  loss {self.total / max(self.steps, 1):.3f}  {duration(left)} left '
        )
        self.stream.flush()

    def after_train_epoch(self, runner) -> None:
        """Prints the epoch in one line, with what was measured."""
        if not self.shown or not self.by_epoch:
            return
        said = [
            f'epoch {runner.epoch + 1}/{runner.max_epochs}',
            f'loss {self.total / max(self.steps, 1):.4f}',
            f'lr {runner.optim_wrapper.get_lr()["lr"][0]:.3g}',
        ]
        said += self._measured(runner)
        left = (
            (time.time() - self.began)
            / max(runner.iter - self.first, 1)  # 0 where a run went on at an epoch's end
            * (runner.max_iters - runner.iter)
        )
        self.line('  '.join([*said, f'{duration(left)} left']))

    @staticmethod
    def _measured(runner) -> List[str]:
        """What was measured at this iteration; of the label-free measures three."""
        said = []
        for key, names in (('knn', None), ('monitor', ('std', 'rankme', 'retrieval'))):
            info = runner.message_hub.runtime_info.get(key)
            if info and info.get('iter') == runner.iter:
                said += [
                    f'{name} {value:.3f}'
                    for name, value in info.items()
                    if name != 'iter' and (names is None or name in names)
                ]
        return said

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Prints the metrics of a detector, segmentor or classifier."""
        if metrics and runner.rank == 0:
            self.line(
                f'after step {runner.iter}: '
                + '  '.join(
                    f'{name} {value:.4g}'
                    for name, value in metrics.items()
                    if isinstance(value, (int, float))
                )
            )

    def line(self, text: str) -> None:
        """Prints a line of its own, in the first process."""
        if self.shown:
            self.stream.write(f'\r{text:<100}\n' if self.live else f'{text}\n')
            self.stream.flush()
