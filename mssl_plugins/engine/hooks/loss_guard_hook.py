"""Stops a run whose loss is no longer finite, with the last good weights kept."""

import torch
from mmengine.dist import all_reduce, is_distributed
from mmengine.hooks import Hook

from mssl_plugins.models.unwrap import unwrap
from mssl_plugins.registry import HOOKS
from mssl_plugins.work_dir import last_checkpoint


@HOOKS.register_module()
class LossGuard(Hook):
    """Raises when a loss is NaN or infinite, before it reaches the weights.

    The losses are checked on the device as they leave the model; the result is
    read just before the optimizer's step, so that nothing waits for the device.
    With several processes all stop, whichever saw it, because they share their
    gradients.  Non-finite parameters are never saved.

    Raises:
        FloatingPointError: Names the loss, the iteration, the epoch and the
        last good checkpoint.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._bad = {}

    def before_train(self, runner) -> None:
        """Attaches both checks."""
        model = runner.model
        model = unwrap(model)
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if hasattr(wrapper, 'values') else [wrapper]
        self._handles = [model.register_forward_hook(self._check)]
        self._handles += [
            w.optimizer.register_step_pre_hook(lambda *_: self._verdict(runner)) for w in wrappers
        ]

    def _check(self, module, inputs, outputs) -> None:
        if not isinstance(outputs, dict):
            return
        for name, value in outputs.items():
            if 'loss' in name:
                value = value if isinstance(value, torch.Tensor) else sum(v.mean() for v in value)
                bad = ~torch.isfinite(value.detach()).all()
                # gradient accumulation: several forwards, one step
                self._bad[name] = self._bad.get(name, False) | bad

    def _verdict(self, runner) -> None:
        if not self._bad:
            return
        flags = torch.stack(list(self._bad.values())).int()
        names, self._bad = list(self._bad), {}
        if is_distributed():
            all_reduce(flags, 'max')
        bad = [n for n, flag in zip(names, flags.tolist()) if flag]
        if bad:
            raise FloatingPointError(
                self._message(runner, f'{", ".join(bad)} not finite (NaN or infinite)')
            )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Checks iterations that made no step (accumulation, a skipped fp16 step)."""
        self._verdict(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Keeps non-finite parameters out of the checkpoints.

        Raises:
            FloatingPointError: If one is not finite.
        """
        for name, _ in unwrap(runner.model).named_parameters():
            if not torch.isfinite(checkpoint['state_dict'][name]).all():
                raise FloatingPointError(
                    self._message(runner, f'parameter {name} not finite (NaN or infinite)')
                )

    def after_train(self, runner) -> None:
        """Detaches the checks."""
        for handle in self._handles:
            handle.remove()

    @staticmethod
    def _message(runner, what: str) -> str:
        good = last_checkpoint(runner.work_dir) or 'none was saved yet'
        return (
            f'{what} at iteration {runner.iter + 1} (epoch '
            f'{runner.epoch + 1}); last good checkpoint: {good}'
        )
