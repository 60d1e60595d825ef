"""Randomness of the data pipeline as a function of (seed, epoch, index).

Our choice; no paper prescribes it.  With every index the sampler passes on the
seed and the epoch, and a transform draws from a generator seeded with the
three.  A sample is therefore the same whichever worker makes it, however many
workers there are, and whether or not the run was resumed: there is no state to
save.
"""

from typing import Iterator, Tuple

import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from torch import Tensor

from mssl_plugins.registry import DATA_SAMPLERS

PART = 8192  # indices that become Python's integers at a time


class SampleIndex(int):
    """The index of a sample that knows where its randomness comes from.

    An ``int`` in every other respect; survives pickling to a worker and deep
    copies.  Subtraction and remainder, by which MMEngine's ``ConcatDataset``
    and ``RepeatDataset`` find the inner index, keep seed and epoch, and what
    they take away: a repeated image has other draws each time.  Other
    arithmetic gives a plain ``int``.

    Args:
        index (int): Position in the dataset.
        seed (int): Seed of the run, not negative.
        epoch (int): Epoch in which the sample is drawn.
        outer (Tuple[int, ...]): What the sets around it took away from the index
            that the sampler gave. Defaults to (), the sampler's own index.
    """

    def __new__(
        cls, index: int, seed: int, epoch: int, outer: Tuple[int, ...] = ()
    ) -> 'SampleIndex':
        """Makes the index that also carries the seed and the epoch."""
        self = super().__new__(cls, index)
        self.seed, self.epoch, self.outer = seed, epoch, outer
        return self

    def __reduce__(self):
        return type(self), (int(self), self.seed, self.epoch, self.outer)

    def __sub__(self, other: int) -> 'SampleIndex':
        return self._within(int(self) - other)

    def __mod__(self, other: int) -> 'SampleIndex':
        return self._within(int(self) % other)

    def _within(self, index: int) -> 'SampleIndex':
        return type(self)(index, self.seed, self.epoch, (*self.outer, int(self) - index))

    def moved(self, index: int) -> 'SampleIndex':
        """Another sample of the same epoch, for a replacement."""
        return type(self)(index, self.seed, self.epoch, self.outer)


def sample_rng(results: dict) -> np.random.Generator:
    """The generator that every transform of one sample draws from.

    Args:
        results (dict): What the dataset gives the pipeline; its
            ``'sample_idx'`` decides.

    Returns:
        np.random.Generator: A function of (seed, epoch, index) if
        ``'sample_idx'`` is a :class:`SampleIndex`, otherwise a fresh unseeded
        one.  Each call starts the same stream anew, so a pipeline asks once
        and keeps it.
    """
    index = results.get('sample_idx')
    if isinstance(index, SampleIndex):
        return np.random.default_rng([index.seed, index.epoch, int(index), *index.outer])
    return np.random.default_rng()


@DATA_SAMPLERS.register_module()
class EpochSampler(DefaultSampler):
    """MMEngine's default sampler, yielding :class:`SampleIndex`.

    Order, sharding over processes and rounding up are the base class's.  The
    epoch is set by MMEngine's ``DistSamplerSeedHook`` (a default hook), in an
    epoch-based and a resumed run alike.

    Args:
        dataset (Sized): The dataset, not empty.
        shuffle (bool): Whether to shuffle, by (seed + epoch).
            Defaults to True.
        seed (int, optional): Not negative, and the same in all processes.
            Defaults to None: one is drawn and sent to all processes.
        round_up (bool): Whether to repeat samples until every process has
            equally many. Defaults to True.

    Raises:
        ValueError: If the dataset is empty or the seed negative.
    """

    def __init__(self, dataset, shuffle=True, seed=None, round_up=True):
        if len(dataset) == 0:
            raise ValueError(
                'EpochSampler needs a dataset with at least one sample, got an empty one'
            )
        if seed is not None and seed < 0:
            raise ValueError(f'seed must be 0 or more, got {seed}')
        super().__init__(dataset, shuffle, seed, round_up)

    def __iter__(self) -> Iterator[SampleIndex]:
        # Not a generator function: the epoch is that of the call, not that of
        # the first `next`, which may come after the next `set_epoch`.
        epoch, order = self.epoch, self.order()
        return (
            SampleIndex(i, self.seed, epoch) for part in order.split(PART) for i in part.tolist()
        )

    def order(self) -> Tensor:
        """The base class's order, (n,) int64, as a tensor: a list takes 36 bytes an image."""
        size = len(self.dataset)
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed + self.epoch)
            order = torch.randperm(size, generator=generator)
        else:
            order = torch.arange(size)
        if self.round_up and self.total_size > size:
            order = order.repeat(-(-self.total_size // size))[: self.total_size]
        return order[self.rank : self.total_size : self.world_size]
