"""Checkpoints that survive SIGKILL at any moment and run no code.

MMEngine's hook deletes the oldest checkpoint before it writes the new one,
and writes in place: a run killed meanwhile may have lost both.  Its loader
falls back to unrestricted unpickling, and `Runner.resume` executes
`meta['config']` as Python.  Neither happens here.
"""
from collections import OrderedDict, deque
from pathlib import Path
from typing import Union

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer

from mssl_plugins.checkpoints.compare import compare
from mssl_plugins.checkpoints.loading import safe_loading
from mssl_plugins.checkpoints.reader import for_model
from mssl_plugins.files import TEMPORARY, write_atomically
from mssl_plugins.models.unwrap import unwrap
from mssl_plugins.registry import HOOKS

_HISTORY = 'mssl_plugins.history'


class AtomicBackend(LocalBackend):
    """MMEngine's local disk, with complete files only."""

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
            'max_length': value.max_length
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
    return HistoryBuffer(*(t.cpu().numpy() for t in value[_HISTORY]),
                         value['max_length'])


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
      backbone (our choice), name and shape.

    Args and behaviour otherwise as :class:`mmengine.hooks.CheckpointHook`.
    """

    def before_run(self, runner) -> None:
        """Restricts unpickling before the first checkpoint is read."""
        safe_loading()

    def before_train(self, runner) -> None:
        """Sets the atomic backend up and sweeps a killed run's leftovers."""
        super().before_train(runner)
        if (isinstance(self.file_backend, LocalBackend)
                and self.backend_args is None
                and self.file_client_args is None):
            self.backend_args = dict(backend='mssl_plugins.atomic')
            if is_main_process():
                for part in Path(self.out_dir).glob(f'.*{TEMPORARY}'):
                    part.unlink()

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Leaves only tensors and plain types in the checkpoint."""
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
        hub = checkpoint.get('message_hub')
        if isinstance(hub, dict):
            hub['log_scalars'] = OrderedDict(
                (k, _restore(v)) for k, v in hub['log_scalars'].items())
        if not runner._resume:
            foreign = for_model(checkpoint, unwrap(runner.model).state_dict())
            if foreign is not None:
                checkpoint.clear()
                checkpoint['state_dict'] = foreign
        self._check_fit(runner, checkpoint)

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
        report = compare(part, given)
        bad = len(report.missing) + len(report.reshaped)
        if bad > (0 if resuming else len(part) // 2):
            raise ValueError(
                f'the checkpoint does not fit this {type(model).__name__}: {bad} of {len(part)} '
                'tensors are missing or of another shape ('
                + '; '.join(report._replace(unexpected=[]).differences())
                + '); is it of another architecture or method?')

    def _save_checkpoint_with_step(self, runner, step: int,
                                   meta: dict) -> None:
        """Writes the new checkpoint, then deletes what it replaces."""
        stale = []
        if self.max_keep_ckpts > 0 and step not in list(
                self.keep_ckpt_ids)[-1:]:
            kept = [*self.keep_ckpt_ids, step]
            stale = kept[:-self.max_keep_ckpts]
            self.keep_ckpt_ids = deque(kept[-self.max_keep_ckpts:],
                                       self.max_keep_ckpts)
            # With the stale ones: a run killed before it deletes them does so
            # when resumed (`before_train`).
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        path = self.file_backend.join_path(self.out_dir,
                                           self.filename_tmpl.format(step))
        self.last_ckpt = path
        runner.message_hub.update_info('last_ckpt', path)
        runner.save_checkpoint(
            self.out_dir,
            self.filename_tmpl.format(step),
            self.file_client_args,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args)
        if not is_main_process():
            return
        write_atomically(path.encode(),
                         Path(runner.work_dir) / 'last_checkpoint')
        for old in stale:
            self._remove(
                self.file_backend.join_path(self.out_dir,
                                            self.filename_tmpl.format(old)))

    def _remove(self, path: str) -> None:
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)

    def _save_best_checkpoint(self, runner, metrics: dict) -> None:
        """Lets MMEngine save the best.

        The previous one is out of its reach until the new one is complete.
        """
        if not self.save_best:
            return
        # One path, or one a metric; MMEngine keeps them apart.
        single = hasattr(self, 'best_ckpt_path')
        old = {'': self.best_ckpt_path} if single else dict(
            self.best_ckpt_path_dict)
        if single:
            self.best_ckpt_path = None
        else:
            self.best_ckpt_path_dict = dict.fromkeys(old)
        super()._save_best_checkpoint(runner, metrics)
        new = {'': self.best_ckpt_path} if single \
            else self.best_ckpt_path_dict
        for key, path in old.items():
            if new[key] is None:
                new[key] = path
            elif path and path != new[key] and is_main_process():
                self._remove(path)
        if single:
            self.best_ckpt_path = new['']
