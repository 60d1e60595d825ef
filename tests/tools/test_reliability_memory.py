"""The short form of tools/reliability/memory.py: a leak is seen, and noise is none."""

import numpy as np
import pytest
from mmengine.hooks import Hook

from helpers.tools import tool

memory = tool('reliability/memory')
MIB = 1024  # KiB


class Leak(Hook):
    """Keeps a MiB an iteration."""

    def before_train_iter(self, *_, **__):
        self.kept = [*getattr(self, 'kept', ()), np.ones(MIB * 1024, np.uint8)]


@pytest.mark.parametrize('hooks, low, high', [([], -100, 300), ([Leak()], 900, 1200)])
def test_a_leak_of_a_run_is_seen(tmp_path, hooks, low, high):
    """160 iterations are short: an allocator's own steps are below a third of a MiB.

    The process that it is forked from has 300 MiB of free heap, as one that has run other
    tests: a leak must not disappear in them.
    """
    memory.tiny_runs.preload()
    free = [np.ones(MIB * 100, np.uint8) for _ in range(3000)]  # below malloc's own mappings
    del free[:-1]
    found = memory.measure('mae_vit-mini_1xb256-coslr-12e_scenes', 160, 1, tmp_path, hooks)
    assert [g.iterations for g in found] == [160]
    assert low < found[0].slope < high, found


def test_the_slope_is_that_of_a_leak_and_not_of_a_step():
    rng, steps = np.random.default_rng(0), np.arange(2000)
    noise = 600 * MIB + rng.integers(0, 300, 2000)
    assert abs(memory.growth(noise).slope) < 0.1
    assert abs(memory.growth(noise + 50 * MIB * (steps > 1200)).slope) < memory.BOUND * 60
    assert memory.growth(noise + 2 * steps).slope == pytest.approx(2, abs=0.2)
    warm = memory.growth(noise + 80 * MIB * np.minimum(steps / 400, 1))
    assert abs(warm.slope) < 0.1 and warm.before < warm.after + 300
