"""Randomness of the main process as a function of the iteration.

A resumed run must draw what the undisturbed run drew.  Saving the state of
every generator would do it only for the generators one thinks of; seeding
them from (seed, rank, iteration) leaves nothing to save.
"""

import random
from typing import Optional

import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.registry import HOOKS


def _seed(*words: int) -> None:
    """Seeds torch, numpy and random with a mixture of the numbers."""
    state = np.random.SeedSequence(words).generate_state(3)
    torch.manual_seed(int(state[0]))
    np.random.seed(int(state[1]))
    random.seed(int(state[2]))


class _SeedSample:
    """Makes what transforms draw from the global generators a function of the sample.

    Goes first in a pipeline; a sample whose sampler says no epoch is left.
    """

    def __call__(self, results: dict) -> dict:
        index = results.get('sample_idx')
        if isinstance(index, SampleIndex):
            _seed(index.seed, index.epoch, int(index), 2)
        return results

    @classmethod
    def put_in(cls, dataset) -> None:
        """Into the pipelines of a data set and of those inside it, where one needs it."""
        for inner in getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]:
            if inner is not None and inner is not dataset:
                cls.put_in(inner)
        steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', None)
        if (
            steps
            and not isinstance(steps[0], cls)
            and not all(
                type(step).__module__.startswith('mssl_plugins.')
                or type(step).__name__ == 'LoadImageFromFile'
                for step in steps
            )
        ):
            steps.insert(0, cls())


@HOOKS.register_module()
class SeedHook(Hook):
    """Seeds torch, numpy and random before every training iteration.

    It acts before every other hook, and at the start of an epoch too, so that
    the seeds a data loader hands to its workers do not depend on the past.
    What a worker draws for a sample depends on that and the epoch alone where
    :class:`mssl_plugins.datasets.sampler.EpochSampler` draws the samples, so
    that a run may go on inside an epoch.

    Args:
        seed (int, optional): The seed of the run. Defaults to None, which
            takes the runner's (``randomness.seed``; drawn, logged and kept in
            the checkpoint where the config gives none).
    """

    priority = 'VERY_HIGH'

    def __init__(self, seed: Optional[int] = None) -> None:
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ValueError(f'seed must be an integer of at least 0 or None, got {seed!r}')
        self.seed = seed

    def _draw(self, runner, *words: int) -> None:
        seed = runner.seed if self.seed is None else self.seed
        _seed(seed, get_rank(), runner.iter, *words)

    def before_train(self, runner) -> None:
        """Seeds other libraries' transforms by the sample, as ours are."""
        _SeedSample.put_in(runner.train_dataloader.dataset)

    def before_train_epoch(self, runner) -> None:
        """Seeds what the data loader draws when it starts an epoch."""
        self._draw(runner, 1)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Seeds what the coming iteration draws."""
        self._draw(runner)
