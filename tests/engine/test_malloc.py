"""Memory that a training step frees is there for the next one."""

import platform
import subprocess
import sys

import pytest
import torch

from mssl_plugins.engine.malloc import keep_freed_memory

CODE = """
import resource, sys, torch
from mssl_plugins.engine.malloc import keep_freed_memory
if sys.argv[1] == 'keep':
    assert keep_freed_memory(torch.device('cpu'))
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):  # aligned, a block may not fit where the first one lay
    torch.ones(2**24)
before = faults()
for _ in range(5):
    torch.ones(2**24)  # 64 MiB
print(faults() - before)
"""


def faults(how):
    """Pages that five equal tensors in turn take from the system."""
    run = [sys.executable, '-c', CODE, how]
    return int(subprocess.run(run, capture_output=True, text=True, check=True).stdout.split()[-1])


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='malloc is not glibc')
def test_large_blocks_are_used_again():
    # 5 x 64 MiB are 160 huge pages or many more small ones
    assert faults('keep') < 100 < faults('plain')


def test_a_gpu_needs_nothing():
    assert not keep_freed_memory(torch.device('cuda'))
