"""What a run's config gets besides what the file says."""

import pytest
import torch
from mmengine.utils import digit_version

from mssl_plugins.run_config import build_run_config

SCENES = 'simclr_resnet18_1xb64-coslr-8e_scenes'
OURS = 'mssl_plugins.CompileHook'


def test_compile_adds_its_hook_once(tmp_path):
    given = dict(config=SCENES, work_dir=str(tmp_path))
    plain, compiled = (build_run_config(**given, compile=wish) for wish in (False, True))
    hooks = list(plain.get('custom_hooks') or [])
    assert compiled.custom_hooks == [*hooks, dict(type=OURS)]
    own = tmp_path / 'own.py'
    own.write_text(
        f"_base_ = 'mssl_plugins::mixmask/{SCENES}.py'\n"
        f"custom_hooks = [dict(type='{OURS}', mode='max-autotune')]\n"
    )
    cfg = build_run_config(str(own), work_dir=str(tmp_path), compile=True)
    assert cfg.custom_hooks == [dict(type=OURS, mode='max-autotune')]


@pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.5'), reason='fused on GPUs alone'
)
def test_optimizers_are_fused_where_torch_can(tmp_path):
    def optimizer(**changes):
        options = {f'optim_wrapper.optimizer.{key}': value for key, value in changes.items()}
        return build_run_config(SCENES, str(tmp_path), options=options).optim_wrapper.optimizer

    assert optimizer().fused and optimizer(type='SGD').fused
    assert 'fused' not in optimizer(type='mmpretrain.LARS')
    assert 'fused' not in optimizer(foreach=True)
    assert not optimizer(fused=False).fused
