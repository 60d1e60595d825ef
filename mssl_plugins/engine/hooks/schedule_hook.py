"""One schedule for all scheduled values: momentum, temperatures, weight decay, mask ratios.

A value is a function of progress, so a resumed run continues exactly without
saved state.  Learning rates stay with mmengine's parameter schedulers.
"""

import math
from typing import Callable, Dict, List, Optional

from mmengine.hooks import Hook

from mssl_plugins.errors import unknown
from mssl_plugins.models.unwrap import unwrap
from mssl_plugins.registry import HOOKS

CURVES: Dict[str, Callable[[float], float]] = dict(
    constant=lambda t: 0.0,
    linear=lambda t: t,
    cosine=lambda t: (1 - math.cos(math.pi * t)) / 2,
    step=lambda t: float(t >= 1),
)


class Schedule:
    """A value that moves from ``start`` to ``end`` over part of training.

    Progress t rises from 0 at ``begin`` to 1 at ``begin + length`` and stays
    constant before and after. At the i-th of n iterations, counted from 0,
    t = i / n, so the last iteration does not quite reach ``end`` (DINO's and
    BYOL's convention).

    Args:
        target (str): Dotted path of an attribute on the model, for example
            ``'encoder_k.momentum'``, or ``'optimizer.<key>'`` for a key of
            the optimizer's parameter groups, for example
            ``'optimizer.weight_decay'`` (groups where it is 0 keep 0).
        start (float): Value at the beginning.
        end (float, optional): Value at the end. Defaults to None: ``start``.
        curve (str): ``'linear'``, ``'cosine'``, ``'constant'`` (``start``
            throughout) or ``'step'`` (``start`` until the end of ``length``,
            then ``end``). Defaults to ``'cosine'``.
        begin (float): Where it begins, in epochs. Defaults to 0.
        length (float, optional): How long it takes, in epochs. Defaults to
            None, to the end of training.
        by_epoch (bool): Count ``begin`` and ``length`` in epochs (True) or
            iterations (False). Defaults to True.
        per_epoch (bool): Change once an epoch instead of each iteration.
            Defaults to False.
        inclusive (bool): Reach ``end`` in the last iteration (or epoch, with
            ``per_epoch``) of ``length`` instead of right after it, as
            ``numpy.linspace(start, end, length)`` does; DINO's for the
            teacher's temperature. Defaults to False.

    Raises:
        ValueError: Unknown curve, negative ``begin`` or ``length``.
    """

    def __init__(
        self,
        target: str,
        start: float,
        end: Optional[float] = None,
        curve: str = 'cosine',
        begin: float = 0,
        length: Optional[float] = None,
        by_epoch: bool = True,
        per_epoch: bool = False,
        inclusive: bool = False,
    ) -> None:
        if curve not in CURVES:
            raise unknown(curve, CURVES, 'schedule curve')
        if begin < 0 or (length is not None and length < 0):
            raise ValueError(f'begin and length must not be negative, got {begin} and {length}')
        self.target, self.curve = target, CURVES[curve]
        self.start, self.end = start, start if end is None else end
        self.begin, self.length = begin, length
        self.by_epoch, self.per_epoch, self.inclusive = by_epoch, per_epoch, inclusive

    def value(self, iteration: int, iters_per_epoch: int, max_iters: int) -> float:
        """The value during an iteration.

        Args:
            iteration (int): Number of the iteration, counted from 0.
            iters_per_epoch (int): Iterations of an epoch.
            max_iters (int): Iterations of the training.

        Returns:
            float: ``start`` to ``end``.
        """
        unit = iters_per_epoch if self.by_epoch else 1
        begin = self.begin * unit
        length = max_iters - begin if self.length is None else self.length * unit
        if self.per_epoch:
            iteration -= iteration % iters_per_epoch
        done = iteration - begin
        if done < 0 or done >= length:
            return self.start + (self.end - self.start) * self.curve(float(done >= 0))
        steps = length
        if self.inclusive:
            steps -= iters_per_epoch if self.per_epoch else 1
        t = min(done / steps, 1.0) if steps > 0 else 0.0
        return self.start + (self.end - self.start) * self.curve(t)


@HOOKS.register_module()
class ScheduleHook(Hook):
    """Sets scheduled values before every iteration, and logs them.

    Args:
        schedules (List[dict]): Arguments of :class:`Schedule`, one each.

    Raises:
        AttributeError: If a target does not exist on the model.
        KeyError: If no parameter group of the optimizer has the key.

    Example:
        >>> dict(type='mssl_plugins.ScheduleHook', schedules=[
        >>>     dict(target='target_net.momentum', start=0.996, end=1.0),
        >>>     dict(target='optimizer.weight_decay', start=0.04, end=0.4)])
    """

    priority = 'VERY_HIGH'
    config_parts = dict(schedules=Schedule)

    def __init__(self, schedules: List[dict]) -> None:
        self.schedules = [Schedule(**schedule) for schedule in schedules]

    def before_train(self, runner) -> None:
        """Resolves every target once, so that a misspelled name stops the run at its start."""
        loop = runner.train_loop
        self.max_iters = loop.max_iters
        self.iters_per_epoch = len(loop.dataloader)
        self.setters = [self._setter(runner, s.target) for s in self.schedules]

    @staticmethod
    def _setter(runner, target: str) -> Callable[[float], None]:
        if target.startswith('optimizer.'):
            key = target.split('.', 1)[1]
            groups = runner.optim_wrapper.optimizer.param_groups
            if not any(key in group for group in groups):
                raise KeyError(
                    f"the optimizer's parameter groups have no '{key}': they have "
                    f'{", ".join(k for k in groups[0] if k != "params")}'
                )
            # a group set to 0 (biases, norms) stays there, one set to a half has half
            groups = [g for g in groups if g.get('initial_' + key, g[key]) != 0]
            for group in groups:
                group.setdefault('initial_' + key, group[key])
            initial = [group['initial_' + key] for group in groups]
            base = runner.optim_wrapper.optimizer.defaults.get(key) or max(initial, default=1)
            for group in groups:  # in checkpoints: a resumed run may have another default
                group.setdefault('base_' + key, base)

            def set_groups(value: float) -> None:
                for group in groups:
                    group[key] = value * (group['initial_' + key] / group['base_' + key])

            return set_groups
        owner = unwrap(runner.model)
        *path, name = target.split('.')
        for part in path:
            owner = getattr(owner, part)
        if not hasattr(owner, name):
            raise AttributeError(
                f"schedule target '{target}': {type(owner).__name__} has no '{name}'"
            )
        return lambda value: setattr(owner, name, value)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Sets every schedule's value for this iteration and logs it."""
        for schedule, set_value in zip(self.schedules, self.setters):
            value = schedule.value(runner.iter, self.iters_per_epoch, self.max_iters)
            set_value(value)
            runner.message_hub.update_scalar(f'train/{schedule.target}', value)
