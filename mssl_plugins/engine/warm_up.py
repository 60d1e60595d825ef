"""A warm-up of one step, which MMEngine's linear scheduler never ends.

Where an epoch is one batch, a warm-up of one epoch has one step.  That step has
``start_factor`` of the value, and no later one brings it back: the whole run would
train at a thousandth of its rate, or less, without a word.
"""

from typing import Iterator

from mmengine.optim import LinearParamScheduler
from mmengine.runner import Runner


def end_short_warm_ups(runner: Runner) -> None:
    """Gives warm-ups of one step the value that they should lead to, from that step on.

    Args:
        runner (Runner): With its schedulers built, before training and before a
            checkpoint is loaded.
    """
    for scheduler in _schedulers(runner.param_schedulers):
        if not isinstance(scheduler, LinearParamScheduler):
            continue
        if scheduler.end - scheduler.begin != 1 or scheduler.start_factor == scheduler.end_factor:
            continue
        name, start, end = scheduler.param_name, scheduler.start_factor, scheduler.end_factor
        if scheduler.begin == 0:  # the first step's value is set when the scheduler is built
            for group, base in zip(scheduler.optimizer.param_groups, scheduler.base_values):
                group[name] = (group[name] / start if start else base) * end
        scheduler.start_factor = end
        runner.logger.info(f'the warm-up of {name} is a single step: it is left out')


def _schedulers(given) -> Iterator:
    """All schedulers, of one optimizer or of several."""
    if isinstance(given, dict):
        given = given.values()
    for item in given or ():
        if isinstance(item, (list, tuple)):
            yield from item
        else:
            yield item
