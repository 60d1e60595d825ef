"""The short form of tools/reliability/memory.py: a leak is seen, and noise is none."""

import mmap

import numpy as np
import pytest
from mmengine.hooks import Hook

from helpers.tools import tool

memory = tool('reliability/memory')
MIB = 1024  # KiB


class Leak(Hook):
    """Keeps 3 MiB an iteration, in pages of their own: a heap may have as much free."""

    def before_train_iter(self, *_, **__):
        pages = mmap.mmap(-1, 3 * MIB * 1024, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        pages.write(bytes(len(pages)))
        self.kept = [*getattr(self, 'kept', ()), pages]


@pytest.mark.parametrize('hooks, low, high', [([], -300, 600), ([Leak()], 2400, 3600)])
def test_a_leak_of_a_run_is_seen(tmp_path, hooks, low, high):
    """160 iterations are short: an allocator's own steps may be half a MiB an iteration."""
    memory.tiny_runs.preload()
    found = memory.measure('mae_vit-mini_1xb256-coslr-12e_scenes', 160, 1, tmp_path, hooks)
    assert [g.iterations for g in found] == [160]
    assert low < found[0].slope < high, found
    assert found[0].heap < 100 and found[0].objects < 60, found


def test_what_malloc_has_in_use_is_read():
    used = memory.heap_in_use()
    before, kept = used(), np.ones(4 * MIB * 1024 // 8)
    assert used() - before == pytest.approx(4 * MIB, rel=0.05)
    del kept
    assert used() - before < MIB


@pytest.mark.parametrize(
    'resident, heap, objects, grown',
    [(0, 0, 0, False), (20, 0, 0, True), (4, 0.5, 5, False), (4, 2, 0, True), (4, 0, 20, True)],
)
def test_a_run_grows_by_its_peak_or_by_what_is_in_use(resident, heap, objects, grown):
    steps = np.arange(2000)
    peak = 600 * MIB + resident * steps
    found = memory.growth(peak, 100 * MIB + heap * steps, 10**6 + objects * steps)
    assert (found.slope, found.heap, found.objects) == pytest.approx((resident, heap, objects))
    assert found.grown == grown


def test_the_slope_is_that_of_a_leak_and_not_of_a_step():
    rng, steps = np.random.default_rng(0), np.arange(2000)
    noise = 600 * MIB + rng.integers(0, 300, 2000)
    assert abs(memory.growth(noise).slope) < 0.1
    assert abs(memory.growth(noise + 50 * MIB * (steps > 1200)).slope) < 60
    assert memory.growth(noise + 2 * steps).slope == pytest.approx(2, abs=0.2)
    warm = memory.growth(noise + 80 * MIB * np.minimum(steps / 400, 1))
    assert abs(warm.slope) < 0.1 and warm.before < warm.after + 300
