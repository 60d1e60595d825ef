"""What several test files share."""
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
# Before torch is imported, here and in every process a test starts: tests
# run many tiny networks, which more threads slow down.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch):
    """Every test draws the same numbers, whichever ran before it, and finds
    torch as it is: our tools forbid it to run a checkpoint's code."""
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(1)  # a tool run by the test before may have set more
    np.random.seed(0)


@pytest.fixture(scope='session')
def real_data():
    """Path of a file of real images, or a skip that says why.

    They are looked for in the folder that MSSL_DATA names, by default in
    ``../shared/data`` beside the checkout.
    """

    def find(name: str) -> Path:
        folder = Path(os.environ.get('MSSL_DATA', ROOT.parent / 'shared/data'))
        if not (folder / name).exists():
            pytest.skip(f'no {name} in {folder}: name the folder of real '
                        'images with MSSL_DATA')
        return folder / name

    return find


@pytest.fixture(scope='session')
def image_folder(tmp_path_factory) -> Path:
    """24 random pictures of 32 px in two sub-folders."""
    from PIL import Image
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp('pictures')
    for label in 'ab':
        (folder / label).mkdir()
        for i in range(12):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f'{i:02}.png')
    return folder


@pytest.fixture
def tiny_config(tmp_path, image_folder):
    """Writes a config that trains in a second; returns a writer.

    ``tiny_config(extra='...')`` appends lines of Python to it.
    """

    def write(extra: str = '', name: str = 'tiny') -> Path:
        path = tmp_path / f'{name}.py'
        path.write_text(TINY.format(folder=str(image_folder)) + dedent(extra))
        return path

    return write


@pytest.fixture
def train(tmp_path):
    """Trains as ``tools/train.py ARGUMENTS`` does; returns status and text.
    """
    from helpers.forked import Training
    return lambda *argv: Training(tmp_path, *argv).wait()


@pytest.fixture
def run_python(tmp_path):
    """Runs ``python ARGUMENTS`` as a user does, outside the checkout."""

    def run(*args, env=None, cwd=tmp_path, timeout=600, python=sys.executable):
        return subprocess.run(
            [str(python), *map(str, args)], cwd=cwd, timeout=timeout,
            env={**os.environ, 'PYTHONPATH': str(ROOT), **(env or {})},
            text=True, capture_output=True)

    return run


# MoCo's queue and teacher and SimCLR's simplicity are both state that a
# resumed run must carry; the tests choose with `extra`.
TINY = '''
default_scope = 'mmpretrain'
catalogue = dict(method='mixmask', base='mocov2', data='folder', epochs=4,
                 expected='nothing')
model = dict(
    type='mssl_plugins.MoCo',
    queue_len=24,
    feat_dim=8,
    momentum=0.9,
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor', mean=[120.] * 3, std=[60.] * 3),
    backbone=dict(
        type='mmpretrain.ResNet', depth=18, base_channels=4, stem_channels=4,
        norm_cfg=dict(type='BN')),
    neck=dict(
        type='mmpretrain.MoCoV2Neck', in_channels=32, hid_channels=8,
        out_channels=8, with_avg_pool=True),
    head=dict(
        type='mmpretrain.ContrastiveHead',
        loss=dict(type='mmpretrain.CrossEntropyLoss'), temperature=0.2),
    mixing=dict(type='mssl_plugins.MixMask', mode='mixmask', pattern='block',
                grid=4, ratio=0.5))
train_dataloader = dict(
    batch_size=8, num_workers=0, drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(
        type='mmpretrain.CustomDataset', data_prefix={folder!r},
        with_label=False,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mssl_plugins.Views',
                 views=[dict(num=2, size=32, scale=(0.5, 1.))]),
            dict(type='mssl_plugins.PackViews'),
        ]))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.05, momentum=0.9))
param_scheduler = [dict(type='CosineAnnealingLR', T_max=4, by_epoch=True,
                        convert_to_iter_based=True)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=4)
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(type='mssl_plugins.AtomicCheckpointHook', interval=1,
                    max_keep_ckpts=1),
    seed=dict(type='mssl_plugins.SeedHook'),
    guard=dict(type='mssl_plugins.LossGuard'),
    teacher=dict(type='mssl_plugins.TeacherHook'),
    schedule=dict(type='mssl_plugins.ScheduleHook', schedules=[
        dict(target='encoder_k.momentum', start=0.9, end=1.0)]))
randomness = dict(seed=3)
'''
