"""The short form of tools/reliability/compiled.py, compiled by tracing alone: seconds each."""

import pytest

from helpers.tools import tool
from mssl_plugins.engine.hooks import CompileHook

compiled = tool('reliability/compiled')


@pytest.mark.parametrize(
    'name',
    [
        'dino_vit-mini_1xb64-coslr-6e_scenes',  # views of two sizes, a teacher
        'asl_vit-mini_1xb256-coslr-12e_scenes',  # a decoder
        'mixmask_moco_resnet18_1xb64-coslr-8e_cifar10',  # BatchNorm in parts, a queue
    ],
)
def test_a_compiled_run_has_the_losses_of_the_plain_one(tmp_path, name):
    compiled.tiny_runs.preload()
    found = compiled.measure(name, tmp_path / 'both', [CompileHook(backend='aot_eager')], ())
    assert found.difference < compiled.BOUND, found
    assert found.graphs > 0 and found.later == found.breaks == 0, found


def test_other_losses_are_seen(tmp_path):
    """A run with another learning rate is none that only rounds otherwise."""
    compiled.tiny_runs.preload()
    name = 'mae_vit-mini_1xb256-coslr-12e_scenes'
    extra = ['--cfg-options', 'optim_wrapper.optimizer.lr=0.1']
    found = compiled.measure(name, tmp_path / 'both', (), extra)
    assert found.difference > compiled.BOUND and found.graphs == 0
