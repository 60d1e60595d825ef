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

from mssl_plugins.registry import HOOKS


@HOOKS.register_module()
class SeedHook(Hook):
    """Seeds torch, numpy and random before every training iteration.

    It acts before every other hook, and at the start of an epoch too, so that
    the seeds a data loader hands to its workers do not depend on the past.

    Args:
        seed (int, optional): The seed of the run. Defaults to None, which
            takes the runner's (``randomness.seed``; drawn, logged and kept in
            the checkpoint where the config gives none).
    """
    priority = 'VERY_HIGH'

    def __init__(self, seed: Optional[int] = None) -> None:
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ValueError(
                f'seed must be an integer of at least 0 or None, got {seed!r}')
        self.seed = seed

    def _draw(self, runner, *words: int) -> None:
        seed = runner.seed if self.seed is None else self.seed
        state = np.random.SeedSequence(
            (seed, get_rank(), runner.iter, *words)).generate_state(3)
        torch.manual_seed(int(state[0]))
        np.random.seed(int(state[1]))
        random.seed(int(state[2]))

    def before_train_epoch(self, runner) -> None:
        """Seeds what the data loader draws when it starts an epoch."""
        self._draw(runner, 1)

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Seeds what the coming iteration draws."""
        self._draw(runner)
