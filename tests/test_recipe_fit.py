"""Photo recipes fitted to a number of images, on the shipped configs."""

import copy

import pytest
from mmengine.config import Config

from mssl_plugins import recipe_fit
from mssl_plugins.catalogue import find
from mssl_plugins.config import each_hook
from mssl_plugins.errors import UserError


def config(name):
    return Config.fromfile(find(name))


@pytest.mark.parametrize(
    'images, expected',
    [
        (8, (800, 4, 4)),
        (295, (800, 32, 64)),
        (1000, (632, 64, 128)),
        (10_000, (200, 64, 2048)),
        (1_281_167, (20, 64, 65536)),
    ],
)
def test_fit(images, expected):
    fit = recipe_fit.fit(images, limit=64)
    assert (fit.epochs, fit.batch) == expected[:2]
    assert max(fit.batch, fit.queue) == max(expected[1:])
    assert fit.batch * 8 <= images or fit.batch == 4


def test_small_folder_gets_a_small_queue():
    cfg = config('photos/mocov2')
    said = recipe_fit.fit_to_images(cfg, 1000, limit=64)
    assert cfg.model.queue_len == 128 and cfg.model.momentum == 0.99
    assert cfg.train_dataloader.batch_size == 64 and cfg.train_cfg.max_epochs == 632
    assert any('queue of 128' in line for line in said)
    with pytest.raises(UserError, match='7 images are too few'):
        recipe_fit.fit_to_images(copy.deepcopy(cfg), 7, limit=64)


@pytest.mark.parametrize(
    'name, epochs, momentum',
    [
        ('photos/mst', 24, 1 - 20 / (24 * 15)),
        ('photos/mst', None, 0.996),  # 632 epochs of 15 steps: long enough for the paper's
        ('photos/mst', 2, 0.9),
        ('photos/byol', 30, 1 - 20 / (30 * 15)),
        ('photos/mocov2', 30, 1 - 20 / (30 * 15)),
    ],
)
def test_teacher_of_a_short_training_follows_sooner(name, epochs, momentum):
    cfg = config(name)
    said = recipe_fit.fit_to_images(cfg, 1000, limit=64, epochs=epochs)
    assert cfg.model.momentum == pytest.approx(momentum, abs=5e-5)
    starts = [
        part.start
        for hook in each_hook(cfg)
        for part in hook.get('schedules', ())
        if part.target.endswith('.momentum')
    ]
    assert all(start == cfg.model.momentum for start in starts)
    assert len(starts) == (name != 'photos/mocov2')  # MoCo's momentum is constant
    assert sum("teacher's momentum" in line for line in said) == (momentum != 0.996)


def test_recipes_without_a_teacher_have_no_momentum_to_fit():
    for name in ('photos/mae', 'photos/simclr'):
        cfg = config(name)
        said = recipe_fit.fit_to_images(cfg, 1000, limit=64, epochs=3)
        assert 'momentum' not in cfg.model and not any('teacher' in line for line in said)
