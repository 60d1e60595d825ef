"""Memory that a training step frees is there for the next one."""

import ctypes

import pytest
import torch

from mssl_plugins.engine import malloc
from mssl_plugins.engine.malloc import keep_freed_memory

CODE = """
import ctypes, resource, sys, torch
from mssl_plugins.engine.malloc import keep_freed_memory
if sys.argv[1] == 'keep':
    keep_freed_memory(torch.device('cpu'))
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):  # aligned, a block may not fit where the first one lay
    torch.ones(2**24)
before = faults()
for _ in range(5):
    torch.ones(2**24)  # 64 MiB
print(faults() - before, getattr(ctypes.CDLL(None), 'mallopt', lambda *_: 0)(-3, 2**30))
"""


def test_large_blocks_are_used_again(run_python):
    runs = [run_python('-c', CODE, how, fresh=True) for how in ('plain', 'keep')]
    (plain, _), (kept, takes) = (map(int, run.stdout.split()[-2:]) for run in runs)
    # 5 x 64 MiB are 160 huge pages or many more small ones; an older glibc, or another
    # malloc, does not take so large a size and goes on as before
    assert plain > 100 and (kept < 100) == bool(takes)


@pytest.mark.parametrize(
    'largest, asked, done',
    [
        (2**40, [(-3, 2**30), (-1, -1)], True),
        (2**25, [(-3, 2**30), (-3, 2**25), (-1, -1)], True),  # an older glibc
        (0, [(-3, 2**30), (-3, 2**25)], False),
    ],
)
def test_an_older_glibc_is_asked_for_less(monkeypatch, largest, asked, done):
    class Libc:
        seen = []

        def mallopt(self, name, value):
            self.seen.append((name, value))
            return int(name == -1 or value <= largest)

    monkeypatch.setattr(malloc.ctypes, 'CDLL', lambda _: Libc())
    assert keep_freed_memory(torch.device('cpu')) is done
    assert Libc.seen == asked


def test_a_gpu_or_another_malloc_needs_nothing(monkeypatch):
    monkeypatch.setattr(ctypes, 'CDLL', lambda _: object())
    assert not keep_freed_memory(torch.device('cuda'))
    assert not keep_freed_memory(torch.device('cpu'))
