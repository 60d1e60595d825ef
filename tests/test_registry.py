"""``type='mssl_plugins.X'`` builds under every project's scope, with nothing imported by hand."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from textwrap import indent

import pytest

BUILD = """
from mmengine.registry import DefaultScope, MODELS, HOOKS, TRANSFORMS, DATASETS
DefaultScope.get_instance('test', scope_name=scope)
head = dict(type='mmpretrain.ContrastiveHead', temperature=.2,
            loss=dict(type='mmpretrain.CrossEntropyLoss'))
model = MODELS.build(dict(
    type='mssl_plugins.MoCo', queue_len=8, feat_dim=4, head=head,
    backbone=dict(type='mssl_plugins.SmallImageResNet', depth=18, stem_channels=8, base_channels=8),
    neck=dict(type='mmpretrain.LinearNeck', in_channels=64, out_channels=4, gap_dim=2,
              norm_cfg=None),
    mixing=dict(type='mssl_plugins.MixMask', grid=4)))
HOOKS.build(dict(type='mssl_plugins.TeacherHook'))
TRANSFORMS.build(dict(type='mssl_plugins.PackViews'))
DATASETS.build(dict(type='mssl_plugins.Scenes', length=2))
import torch
x = torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8)
data = model.data_preprocessor(dict(inputs=[x, x], data_samples=[None] * 4), training=True)
losses = model(**data, mode='loss')
assert all(v.isfinite() for v in losses.values()), losses
print('built', scope, sorted(losses), flush=True)
"""

# What is not ours is imported once; a process forked from that builds under each scope.
FORKS = """
import os, sys
import cv2, matplotlib.pyplot, mmcv, mmengine.runner, numpy, torch, torchvision
for scope in sys.argv[1:]:
    child = os.fork()
    if not child:
        assert not [name for name in sys.modules if name.startswith('mssl_plugins')]
        build(scope)
        os._exit(0)
    print(scope, os.waitpid(child, 0)[1], flush=True)
"""
SCOPES = ['mmpretrain', 'mmdet', 'mmseg', 'mmengine']


@pytest.fixture(scope='module')
def built():
    """What was said under each scope."""
    code = 'def build(scope):\n' + indent(BUILD, '    ') + FORKS
    scopes = [scope for scope in SCOPES if find_spec(scope)]
    done = subprocess.run([sys.executable, '-c', code, *scopes], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done


@pytest.mark.parametrize('scope', SCOPES)
def test_builds_under_the_scope(scope, built):
    pytest.importorskip(scope)
    wanted = f"built {scope} ['lambda_mixmask', 'loss_base', 'loss_mixmask']\n{scope} 0\n"
    assert wanted in built.stdout, built.stdout + built.stderr[-2000:]


def test_pre_training_needs_no_compiled_ops():
    """mmpretrain may import mmcv.ops where it is there; we never ask for it."""
    for file in (Path(__file__).parents[1] / 'mssl_plugins').rglob('*.py'):
        if 'mmcv.ops' in file.read_text():
            assert file.name in ('errors.py',), file  # names it in an error
