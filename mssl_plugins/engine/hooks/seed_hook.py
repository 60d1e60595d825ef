"""Randomness of the main process as a function of the iteration.

A resumed run must draw the same random numbers as one that was never stopped.
Saving generator states would work only for the generators one thinks of;
seeding them from (seed, rank, iteration) leaves nothing to save.
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
    """Seeds the global generators for each sample, for transforms that draw from them.

    It goes first in a pipeline; samples whose sampler passes no epoch are left
    alone.
    """

    def __call__(self, results: dict) -> dict:
        index = results.get('sample_idx')
        if isinstance(index, SampleIndex):
            _seed(index.seed, index.epoch, int(index), 2, *index.outer)
        return results

    @classmethod
    def put_in(cls, dataset) -> None:
        """Puts it into the pipelines of a dataset, and of datasets inside it, that need it."""
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

    It acts before every other hook, and also at the start of an epoch, so that
    the seeds a data loader gives its workers do not depend on earlier
    iterations. With :class:`mssl_plugins.datasets.sampler.EpochSampler`, what a
    worker draws for a sample depends only on the sample and the epoch, so that
    a run can resume inside an epoch.

    Args:
        seed (int, optional): The seed of the run. Defaults to None: the
            runner's ``randomness.seed``, or, if the config has none, one that
            is drawn, logged and kept in the checkpoint.

    Raises:
        ValueError: If the seed is no integer of at least 0.
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
        """Makes other libraries' transforms depend on the sample, as ours do."""
        _SeedSample.put_in(runner.train_dataloader.dataset)

    def before_train_epoch(self, runner) -> None:
        """Seeds what the data loader draws when it starts an epoch."""
        self._draw(runner, 1)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Seeds what the coming iteration draws."""
        self._draw(runner)
