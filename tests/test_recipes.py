"""Recipes fitted to another length, batch, size or folder, on the shipped configs."""

import copy
import re

import pytest
from mmengine.config import Config

from mssl_plugins import catalogue, recipes
from mssl_plugins.errors import UserError

DINO = next(c for c in catalogue.configs() if c['base'] == 'dino' and c['epochs'] == 100)['path']
MOCO = next(c for c in catalogue.configs() if c['base'] == 'mocov2' and c['epochs'] == 200)['path']
MAE = next(c for c in catalogue.configs() if c['method'] == 'mae' and c['epochs'] == 1600)['path']


def config(path):
    return Config.fromfile(path)


def test_all_schedules_keep_their_fraction():
    cfg = config(DINO)
    freeze = next(h for h in cfg.default_hooks.values() if h['type'] == 'mssl_plugins.FreezeHook')
    before = freeze['length'] / cfg.train_cfg.max_epochs
    said = recipes.set_epochs(cfg, 20)
    assert cfg.train_cfg.max_epochs == 20 and '20 epochs instead of 100' in said[0]
    warm, cosine = cfg.param_scheduler
    assert (warm['end'], cosine['begin'], cosine['T_max'], cosine['end']) == (2, 2, 18, 20)
    assert freeze['length'] / 20 == pytest.approx(before)
    assert recipes.set_epochs(cfg, 20) == []


def test_freezing_by_the_hooks_own_default_moves_too():
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=100),
            param_scheduler=[],
            default_hooks=dict(a=dict(type='mssl_plugins.FreezeHook', names='head'), b=None),
            custom_hooks=[
                dict(
                    type='mssl_plugins.ScheduleHook',
                    schedules=[
                        dict(target='t', start=0, end=1, begin=10, length=30),
                        dict(target='t', start=0, end=1, length=500, by_epoch=False),
                    ],
                )
            ],
        )
    )
    recipes.set_epochs(cfg, 10)
    assert cfg.default_hooks.a.length == pytest.approx(0.1)
    epochs, iterations = cfg.custom_hooks[0].schedules
    assert (epochs.begin, epochs.length, iterations.length) == (1.0, 3.0, 500)


@pytest.mark.parametrize('epochs', [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    'entry',
    [c for c in catalogue.configs() if c['data'] != 'photos'][::12],
    ids=lambda c: c['name'],
)
def test_every_cosine_ends_with_the_training(entry, epochs):
    cfg = config(entry['path'])
    if 'max_epochs' not in (cfg.get('train_cfg') or {}):
        with pytest.raises(UserError, match='counts iterations'):
            recipes.set_epochs(cfg, epochs)
        return
    recipes.set_epochs(cfg, epochs)
    for scheduler in cfg.get('param_scheduler') or []:
        if scheduler.get('by_epoch', True) and 'T_max' in scheduler:
            assert scheduler.get('begin', 0) + scheduler['T_max'] == epochs


def test_rate_follows_the_batch():
    cfg = config(MOCO)
    said = recipes.set_batch(cfg, 32, processes=2)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.03 * 64 / 256)
    assert cfg.train_dataloader.batch_size == 32 and cfg.auto_scale_lr.base_batch_size == 64
    assert said == ['batch 64 (32 a process): learning rate 0.03 for 256 -> 0.0075 (linear rule)']
    assert recipes.set_lr(cfg, 0.1) == ['learning rate 0.1 instead of 0.0075']
    for wrong in (0, -1.0, float('nan')):
        with pytest.raises(UserError, match='--lr'):
            recipes.set_lr(cfg, wrong)


def test_the_predictors_constant_rate_follows_too():
    entry = next(c for c in catalogue.configs() if c['base'] == 'simsiam')
    cfg = config(entry['path'])
    hook = next(h for h in cfg.default_hooks.values() if h['type'] == 'mmpretrain.SimSiamHook')
    before = hook['lr'], cfg.optim_wrapper.optimizer.lr
    assert before[0] == before[1]
    recipes.set_batch(cfg, 2 * cfg.train_dataloader.batch_size)
    assert hook['lr'] == cfg.optim_wrapper.optimizer.lr != before[0]


@pytest.mark.parametrize(
    'path, options, said',
    [
        (
            MOCO,
            {'train_cfg.max_epochs': 3},
            [r'^train_cfg.max_epochs=3 leaves behind .* for 200: param_scheduler.*; --epochs 3 '],
        ),
        (
            DINO,
            {'train_cfg.max_epochs': 3},
            [r'max_epochs=3 .*param_scheduler.0.end, .* and \d more; --epochs 3 moves it along$'],
        ),
        (
            MOCO,
            {'train_dataloader.batch_size': 32},
            [r'batch_size=32 .* for 64: optim_wrapper.optimizer.lr; --batch-size 32 '],
        ),
        (MOCO, {'optim_wrapper.optimizer.lr': 0.1}, []),  # its schedule multiplies it
        (
            MAE,
            {'train_dataloader.dataset.pipeline.0.views.0.size': 96},
            [r'^views of 96 px .*--size'],
        ),
        # nothing is left: no override, or all that depends on it is set too
        (MOCO, {'train_cfg.max_epochs': 200}, []),
        (MOCO, {'train_cfg.val_interval': 5, 'randomness.seed': 3}, []),
        (
            MOCO,
            {'train_dataloader.batch_size': 32, 'optim_wrapper.optimizer.lr': 0.0075},
            [],
        ),
        (MOCO, {'train_dataloader.batch_size': 32, 'auto_scale_lr.enable': True}, []),
    ],
)
def test_overrides_say_what_they_leave_behind(path, options, said):
    before, after = config(path), config(path)
    after.merge_from_dict(options)
    lines = recipes.left_behind(before, after)
    assert len(lines) == len(said), lines
    for line, pattern in zip(lines, said):
        assert re.search(pattern, line), line


def test_the_option_leaves_nothing_behind():
    """What the warning names is what the option moves: with it nothing is left."""
    before, after = config(DINO), config(DINO)
    recipes.set_epochs(before, 3)
    recipes.set_epochs(after, 3)
    after.merge_from_dict({'train_cfg.max_epochs': 3})
    assert recipes.left_behind(before, after) == []
    simsiam = config(next(c for c in catalogue.configs() if c['base'] == 'simsiam')['path'])
    other = copy.deepcopy(simsiam)
    other.merge_from_dict({'optim_wrapper.optimizer.lr': 1.0})
    (line,) = recipes.left_behind(simsiam, other)
    assert 'hook' in line and '--lr 1.0' in line


def test_views_positions_and_decoder_follow_the_size():
    cfg = config(DINO)
    recipes.set_size(cfg, 128)
    sizes = [v['size'] for v in cfg.train_dataloader.dataset.pipeline[0]['views']]
    assert sizes == [128, 128, 48] and cfg.model.backbone.img_size == 128
    cfg = config(MAE)
    recipes.set_size(cfg, 96)
    assert cfg.model.neck.num_patches == 36
    with pytest.raises(
        UserError, match='--size 100: the network has patches of 16 px, so 96 or 112'
    ):
        recipes.set_size(cfg, 100)
    with pytest.raises(UserError, match='32 px or more'):
        recipes.set_size(cfg, 16)
    cfg.train_dataloader.dataset.pipeline[0]['views'][0]['size'] = (96, 128)
    with pytest.raises(UserError, match=r'is for square views, .* some of \(96, 128\) px'):
        recipes.set_size(cfg, 128)


def test_what_changed_since_a_run_began_is_named():
    """Not what cannot matter: paths, hooks, loaders' workers."""
    began, now = config(MOCO), config(MOCO)
    now.train_dataloader.num_workers += 1
    now.train_dataloader.dataset.data_root = 'elsewhere'
    now.optim_wrapper.optimizer.fused = True
    now.default_hooks.checkpoint.interval = 7
    assert recipes.changed(began.to_dict(), now) == ''
    lr = began.optim_wrapper.optimizer.lr
    recipes.set_epochs(now, 100)
    recipes.set_size(now, 96)
    recipes.set_lr(now, 0.5)
    said = recipes.changed(began.to_dict(), now, most=3)
    assert said.startswith(
        f'optim_wrapper.optimizer.lr {lr} -> 0.5, train_cfg.max_epochs 200 -> 100, '
        'views.size 224 -> 96 and '
    )
    part = {'train_cfg': dict(began.train_cfg)}
    assert recipes.changed(part, now) == 'train_cfg.max_epochs 200 -> 100'
