"""Checkpoints that survive SIGKILL at any moment and run no code.

MMEngine's hook deletes the oldest checkpoint before it writes the new one,
and writes in place: a run killed meanwhile may have lost both.  Its loader
falls back to unrestricted unpickling, and `Runner.resume` executes
`meta['config']` as Python.  Neither happens here.
"""

import re
import time
from collections import OrderedDict, deque
from pathlib import Path
from typing import Optional, Union

import numpy as np
import torch
from mmengine.dist import broadcast, is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import EpochBasedTrainLoop

from mssl_plugins.checkpoints.architecture import parts_in
from mssl_plugins.checkpoints.compare import compare, part_amiss
from mssl_plugins.checkpoints.loading import safe_loading
from mssl_plugins.checkpoints.reader import for_model
from mssl_plugins.engine.epoch_position import skip_seen
from mssl_plugins.engine.fsdp import FSDP, cut_checkpoint, gathered
from mssl_plugins.errors import UserError
from mssl_plugins.files import TEMPORARY, write_atomically
from mssl_plugins.models.unwrap import unwrap
from mssl_plugins.recipes import changed
from mssl_plugins.registry import HOOKS
from mssl_plugins.work_dir import INTERIM, last_checkpoint

_HISTORY = 'mssl_plugins.history'


class AtomicBackend(LocalBackend):
    """MMEngine's local disk, on which only complete files appear."""

    def put(self, obj: bytes, filepath: Union[str, Path]) -> None:
        """Writes ``obj`` to ``filepath`` atomically."""
        write_atomically(obj, filepath)


register_backend('mssl_plugins.atomic', AtomicBackend, force=True)


def _plain(value):
    """Turns what is not a plain Python type or tensor into one that is."""
    if isinstance(value, HistoryBuffer):
        logs, counts = value.data
        return {
            _HISTORY: [torch.as_tensor(logs), torch.as_tensor(counts)],
            'max_length': value.max_length,
        }
    if isinstance(value, dict):
        return type(value)((k, _plain(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value


def _restore(value):
    if not isinstance(value, dict) or _HISTORY not in value:
        return value
    return HistoryBuffer(*(t.cpu().numpy() for t in value[_HISTORY]), value['max_length'])


def stepped(runner) -> bool:
    """Whether this iteration made an optimizer step, so that no gradient is accumulated."""
    wrapper = runner.optim_wrapper
    wrappers = wrapper.values() if hasattr(wrapper, 'values') else [wrapper]
    return all(w.should_update() for w in wrappers)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook, safe against being killed and tampering.

    - A checkpoint, and ``last_checkpoint``, appear under their names only when
      complete; older ones are deleted only after that.
    - Its checkpoints hold tensors and plain Python types, so ``torch.load(...,
      weights_only=True)`` reads them with nothing allowed.
    - Loading and resuming read weights only (:func:`safe_loading`).
    - ``load_from`` takes a backbone of timm, DINO, MAE, torchvision, Hugging
      Face or Detectron2 as well: it becomes the model's ``backbone``.
    - A checkpoint of another architecture is refused: resuming needs every
      tensor of the model; loading needs at least half of those of the
      backbone, by name and shape (our choice).
    - Every checkpoint resumes exactly, even inside an epoch: the batches that
      were trained on are skipped.  With accumulated gradients this holds for a
      regular checkpoint only if its iterations fill whole steps; ``interim.pth``
      waits for the end of a step.
    - Between the regular checkpoints ``interim.pth`` is kept; each regular one
      replaces it.
    - Older checkpoints that a resumed checkpoint lists are deleted only if they
      lie in the same folder under names that this hook gives.
    - A full disk ends the run with a message that names the path and the last
      good checkpoint; no partial file is left.

    Args:
        minutes (float, optional): How many minutes of training a kill may cost:
            a checkpoint is written when this much time has passed since the
            last one. None: only the regular ones. Defaults to 10 (our
            choice).
        **kwargs: Arguments of :class:`mmengine.hooks.CheckpointHook`.

    Raises:
        ValueError: If ``minutes`` is not more than 0.
        UserError: If a checkpoint cannot be written.
    """

    def __init__(self, *args, minutes: Optional[float] = 10, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        if minutes is not None and not minutes > 0:
            raise ValueError(f'minutes must be more than 0 or None, got {minutes}')
        self.minutes = minutes
        self._batches, self._after_epoch, self._saved = None, None, -1

    def before_run(self, runner) -> None:
        """Restricts unpickling before the first checkpoint is read."""
        safe_loading()

    def before_train(self, runner) -> None:
        """Sets the atomic backend up and removes partial files of a killed run."""
        named = self._take_named(runner)
        super().before_train(runner)
        self._restore_named(runner, named)
        self._clock = time.monotonic()
        if (
            isinstance(self.file_backend, LocalBackend)
            and self.backend_args is None
            and self.file_client_args is None
        ):
            self.backend_args = dict(backend='mssl_plugins.atomic')
            if is_main_process():
                for part in Path(self.out_dir).glob(f'.*{TEMPORARY}'):
                    part.unlink()
                last = last_checkpoint(runner.work_dir)
                if runner._resume and last and Path(last).name != INTERIM:
                    Path(self.out_dir, INTERIM).unlink(missing_ok=True)

    @staticmethod
    def _take_named(runner) -> dict:
        """Hides the files that a resumed checkpoint names from MMEngine, which deletes them."""
        info = runner.message_hub.runtime_info
        return {
            key: info.pop(key)
            for key in list(info)
            if key == 'keep_ckpt_ids' or re.fullmatch('best_ckpt(_.*)?', key)
        }

    def _restore_named(self, runner, named: dict) -> None:
        """Takes over the listed files that this run wrote itself."""
        source = runner._load_from or last_checkpoint(runner.work_dir)
        if not (runner._resume and source) or (
            Path(source).resolve().parent != Path(self.out_dir).resolve()
        ):
            return  # the run goes on in another folder: the listed files stay
        info = runner.message_hub
        for key, value in named.items():
            if key == 'keep_ckpt_ids':
                continue
            name = Path(str(value)).name
            before, after = map(re.escape, self.filename_tmpl.split('{}'))
            if re.fullmatch(rf'best_.+_{before}\d+{after}', name):
                path = self.file_backend.join_path(self.out_dir, name)
                info.update_info(key, path)
                if key == 'best_ckpt' and hasattr(self, 'best_ckpt_path'):
                    self.best_ckpt_path = path
                elif key[10:] in getattr(self, 'best_ckpt_path_dict', {}):
                    self.best_ckpt_path_dict[key[10:]] = path
        if self.max_keep_ckpts > 0:
            done = runner.epoch if self.by_epoch else runner.iter
            given = named.get('keep_ckpt_ids')
            kept = [
                step
                for step in (given if isinstance(given, (list, tuple)) else ())
                if type(step) is int and 0 < step <= done
            ]
            self.keep_ckpt_ids = deque(kept[-self.max_keep_ckpts :], self.max_keep_ckpts)
            for step in kept[: -self.max_keep_ckpts] if is_main_process() else ():
                self._remove(
                    self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
                )

    def before_train_epoch(self, runner) -> None:
        """Skips the batches that were trained on, if the run resumes inside an epoch."""
        loop = runner.train_loop
        if not isinstance(loop, EpochBasedTrainLoop):
            return  # MMEngine's other loop skips by itself
        now = len(loop.dataloader)
        before, self._batches = self._batches or now, None
        seen = runner.iter - runner.epoch * before
        if not 0 < seen <= before:
            return
        if before != now:
            runner.logger.warning(
                f'the checkpoint was made with {before} batches an epoch, now '
                f'there are {now}: it goes on, but not exactly'
            )
        self._after_epoch = skip_seen(loop, min(seen, now))

    def after_train_epoch(self, runner) -> None:
        """Saves, as the base class does."""
        if self._after_epoch is not None:
            self._after_epoch()
            self._after_epoch = None
        super().after_train_epoch(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Saves as the base class does, and when the last checkpoint is too old."""
        super().after_train_iter(runner, batch_idx, data_batch, outputs)
        if self.minutes is None or not stepped(runner):
            return
        # The main process writes alone, so its clock decides.
        due = is_main_process() and time.monotonic() - self._clock >= 60 * self.minutes
        if isinstance(runner.model, FSDP):  # all processes take part in gathering it
            flag = torch.tensor(int(due))
            broadcast(flag)
            due = bool(flag)
        if due:
            self.save_interim(runner)

    def save_interim(self, runner) -> str:
        """Saves after this iteration, unless that has been done.

        Returns:
            str: The path of the run's last checkpoint.
        """
        step = runner.iter + 1
        if self._saved != step:
            self._write(runner, INTERIM, dict(epoch=runner.epoch, iter=step))
        return last_checkpoint(runner.work_dir)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leaves only tensors and plain types in the checkpoint."""
        checkpoint['meta']['epoch_batches'] = len(runner.train_dataloader)
        for key in ('message_hub', 'meta', 'param_schedulers'):
            if key in checkpoint:
                checkpoint[key] = _plain(checkpoint[key])

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Refuses what does not fit and undoes what saving did.

        Raises:
            ValueError: If the checkpoint is of another architecture.
        """
        # Runner.resume would execute it as a Python config.
        checkpoint.get('meta', {}).pop('config', None)
        if runner._resume:
            self._batches = checkpoint.get('meta', {}).get('epoch_batches')
            text = checkpoint.get('meta', {}).get('cfg')
            changes = changed(parts_in(text, runner.cfg.keys()), runner.cfg)
            if changes:
                runner.logger.warning(
                    f'the run goes on with other settings than it was started with ({changes}); '
                    'to go on with the same, repeat the options of its first command'
                )
        hub = checkpoint.get('message_hub')
        if isinstance(hub, dict):
            hub['log_scalars'] = OrderedDict(
                (k, _restore(v)) for k, v in hub['log_scalars'].items()
            )
        if not runner._resume:
            foreign = for_model(checkpoint, unwrap(runner.model).state_dict())
            if foreign is not None:
                checkpoint.clear()
                checkpoint['state_dict'] = foreign
        self._check_fit(runner, checkpoint)
        cut_checkpoint(runner, checkpoint)

    @staticmethod
    def _check_fit(runner, checkpoint: dict) -> None:
        model, resuming = unwrap(runner.model), runner._resume
        own = model.state_dict()
        given = {
            k[7:] if k.startswith('module.') else k: v
            for k, v in checkpoint.get('state_dict', checkpoint).items()
        }
        backbone = {k: v for k, v in own.items() if k.startswith('backbone.')}
        part = own if resuming else backbone or own
        if not resuming:
            bare = [
                {k[9:]: v for k, v in keys.items() if k.startswith('backbone.')}
                for keys in (own, given)
            ]
            amiss = part_amiss(*bare)
            if amiss:
                raise ValueError(f"the checkpoint does not fit this model's backbone: {amiss}")
        report = compare(part, given)
        bad = len(report.missing) + len(report.reshaped)
        if bad > (0 if resuming else len(part) // 2):
            raise ValueError(
                f'the checkpoint does not fit this {type(model).__name__}: {bad} of {len(part)} '
                'tensors are missing or of another shape ('
                + '; '.join(report._replace(unexpected=[]).differences())
                + '); is it of another architecture or method?'
            )

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        """Writes the new checkpoint, then deletes what it replaces."""
        stale = []
        if self.max_keep_ckpts > 0 and step not in list(self.keep_ckpt_ids)[-1:]:
            kept = [*self.keep_ckpt_ids, step]
            stale = kept[: -self.max_keep_ckpts]
            self.keep_ckpt_ids = deque(kept[-self.max_keep_ckpts :], self.max_keep_ckpts)
            # With the stale ones: a run killed before it deletes them does so
            # when resumed (`before_train`).
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(step))
        self.last_ckpt = path
        runner.message_hub.update_info('last_ckpt', path)
        self._write(runner, self.filename_tmpl.format(step), meta)
        if not is_main_process():
            return
        for name in (INTERIM, *map(self.filename_tmpl.format, stale)):
            self._remove(self.file_backend.join_path(self.out_dir, name))

    def _write(self, runner, name: str, meta: dict) -> None:
        """Writes a checkpoint and notes it as the last one."""
        path = self.file_backend.join_path(self.out_dir, name)
        step = meta['iter']
        try:
            with gathered(runner):
                runner.save_checkpoint(
                    self.out_dir,
                    name,
                    self.file_client_args,
                    save_optimizer=self.save_optimizer,
                    save_param_scheduler=self.save_param_scheduler,
                    meta=meta,
                    by_epoch=self.by_epoch,
                    backend_args=self.backend_args,
                    **self.args,
                )
            if is_main_process():
                write_atomically(path.encode(), Path(runner.work_dir) / 'last_checkpoint')
        except OSError as error:
            good = last_checkpoint(runner.work_dir)
            rest = f'{good}; make room and go on with --resume' if good else 'none was saved yet'
            raise UserError(
                f'cannot write {path}: {error.strerror or error}; last good checkpoint: {rest}'
            ) from error
        self._saved, self._clock = step, time.monotonic()

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        """Lets MMEngine save the best checkpoint.

        The previous best is hidden from it until the new one is complete.
        """
        if not self.save_best:
            return
        # One path, or one a metric; MMEngine keeps them apart.
        single = hasattr(self, 'best_ckpt_path')
        old = {'': self.best_ckpt_path} if single else dict(self.best_ckpt_path_dict)
        if single:
            self.best_ckpt_path = None
        else:
            self.best_ckpt_path_dict = dict.fromkeys(old)
        with gathered(runner):
            super()._save_best_checkpoint(runner, metrics)
        new = {'': self.best_ckpt_path} if single else self.best_ckpt_path_dict
        for key, path in old.items():
            if new[key] is None:
                new[key] = path
            elif path and path != new[key] and is_main_process():
                self._remove(path)
        if single:
            self.best_ckpt_path = new['']
