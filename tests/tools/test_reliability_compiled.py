"""The short form of tools/reliability/compiled.py, compiled by tracing alone: seconds each."""

import json
from types import SimpleNamespace

import pytest

from helpers.paths import ROOT
from helpers.tools import tool

BOUND = tool('reliability/compiled').BOUND
# In a process of its own: a fork of one whose threads have trained cannot compile.
MEASURE = f"""
import json, sys
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tools/reliability')!r}]
import compiled
from mssl_plugins.engine.hooks import CompileHook
compiled.tiny_runs.preload()
compiled.STEPS, compiled.EPOCHS = 3, 3  # so many that MoCo's queue begins anew
name, folder, traced, *extra = sys.argv[1:]
hooks = [CompileHook(backend='aot_eager', teachers=True)] if traced == 'traced' else []
print(json.dumps(compiled.measure(name, Path(folder), hooks, extra)._asdict()))
"""


@pytest.fixture
def measure(run_python, tmp_path):
    def measure(*args):
        name, *more = args
        done = run_python('-c', MEASURE, name, str(tmp_path / 'both'), *more, fresh=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return SimpleNamespace(**json.loads(done.stdout.splitlines()[-1]))

    return measure


@pytest.mark.parametrize(
    'name',
    [
        'dino_vit-mini_1xb64-coslr-6e_scenes',  # views of two sizes, a teacher
        'asl_vit-mini_1xb256-coslr-12e_scenes',  # a decoder
        'mixmask_moco_resnet18_1xb64-coslr-8e_cifar10',  # BatchNorm in parts, a queue
    ],
)
def test_a_compiled_run_has_the_losses_of_the_plain_one(measure, name):
    found = measure(name, 'traced')
    assert found.difference < BOUND, found
    assert found.graphs > 0 and found.later == found.breaks == 0, found


def test_other_losses_are_seen(measure):
    """A run with another learning rate is none that only rounds otherwise."""
    extra = ['--cfg-options', 'optim_wrapper.optimizer.lr=0.1']
    found = measure('mae_vit-mini_1xb256-coslr-12e_scenes', 'plain', *extra)
    assert found.difference > BOUND and found.graphs == 0
