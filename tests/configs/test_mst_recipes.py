"""Every number of MST's specification and supplement against the shipped configs."""

from pathlib import Path

import numpy as np
import pytest

from helpers.configs import resolved
from mssl_plugins.engine.hooks.schedule_hook import Schedule
from mssl_plugins.registry import HOOKS, MODELS, TRANSFORMS

CONFIGS = Path(__file__).parents[2] / 'configs'
FILES = sorted([*(CONFIGS / 'dino').glob('*.py'), *(CONFIGS / 'mst').glob('*.py')])
DEIT = [f for f in FILES if 'vit-s16' in f.name]


def load(name):
    folder = 'dino' if name.startswith('dino') else 'mst'
    return resolved(CONFIGS / folder / f'{name}.py')


def schedules(cfg):
    return {
        s.target: s
        for hook in cfg.default_hooks.values()
        if hook.type == 'mssl_plugins.ScheduleHook'
        for s in hook.schedules
    }


@pytest.mark.parametrize('file', DEIT, ids=lambda f: f.stem)
def test_section7_and_recipe(file):
    """DeiT-S; AdamW, lr 2e-3 at batch 1024, wd 0.04 -> 0.4, 10 epochs of warm-up, cosine."""
    cfg = resolved(file)
    epochs = 300 if '300e' in file.name else 100
    model, hooks = cfg.model, cfg.default_hooks
    assert cfg.train_cfg.max_epochs == epochs
    assert model.backbone.arch == 'deit-small' and model.backbone.patch_size == 16
    assert model.backbone.drop_path_rate == 0.1
    start = {k: model.backbone[k] for k in ('weight_init', 'interpolate_offset', 'antialias')}
    assert start == dict(weight_init='dino', interpolate_offset=0.1, antialias=False)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', 2e-3, 0.04)
    assert cfg.auto_scale_lr.base_batch_size == 1024
    assert optimizer.lr == 5e-4 * 1024 / 256
    assert set(cfg.optim_wrapper.paramwise_cfg.values()) == {0}
    warm, cosine = cfg.param_scheduler
    assert (warm.type, warm.end, warm.convert_to_iter_based) == ('LinearLR', 10, True)
    assert (cosine.type, cosine.begin, cosine.end, cosine.T_max, cosine.eta_min) == (
        'CosineAnnealingLR',
        10,
        epochs,
        epochs - 10,
        1e-6,
    )
    moving = schedules(cfg)
    for target, start, end in (
        ('teacher.momentum', 0.996, 1),
        ('optimizer.weight_decay', 0.04, 0.4),
    ):
        s = moving[target]
        assert (s.start, s.end, s.curve) == (start, end, 'cosine') and 'length' not in s
    assert model.momentum == 0.996
    criterion = model.criterion
    assert (criterion.student_temp, criterion.teacher_temp, criterion.center_momentum) == (
        0.1,
        0.04,
        0.9,
    )
    if epochs == 300:  # 0.04 -> 0.07 over 30 epochs
        temp = Schedule(**moving['criterion.teacher_temp'])
        values = [temp.value(10 * e + 7, 10, 10 * epochs) for e in range(epochs)]
        assert values == pytest.approx(  # DINO's formula
            np.concatenate([np.linspace(0.04, 0.07, 30), np.full(epochs - 30, 0.07)])
        )
    else:
        assert 'criterion.teacher_temp' not in moving
    head = model.head
    assert (head.num_layers, head.hidden_channels, head.bottleneck_channels, head.out_channels) == (
        3,
        2048,
        256,
        65536,
    )
    # DINO's 300-epoch command frees the prototypes' gain; MST prints nothing: 1, our choice
    assert head.norm_last_layer == (file.stem != 'dino_vit-s16_16xb64-coslr-300e_in1k')
    assert hooks.last_layer.type == 'mssl_plugins.FreezeHook'
    assert (hooks.last_layer.names, hooks.last_layer.length) == ('head.last_layer', 1)
    assert hooks.clip == dict(type='mssl_plugins.ClipEachHook', max_norm=3.0)
    assert hooks.teacher.type == 'mssl_plugins.TeacherHook'
    assert list(hooks.knn.k) == [10, 20, 100, 200] and hooks.knn.temperature == 0.07


@pytest.mark.parametrize('file', DEIT, ids=lambda f: f.stem)
def test_section2_views(file):
    transform, pack = resolved(file).train_dataloader.dataset.pipeline
    assert (transform.type, pack.type) == ('mssl_plugins.Views', 'mssl_plugins.PackViews')
    views = transform.views
    assert len(views) == (2 if 'mst-mlm_' in file.name else 3)
    for view, (num, size, scale, blur, solarise) in zip(
        views,
        [(1, 224, (0.4, 1), 1.0, 0), (1, 224, (0.4, 1), 0.1, 0.2), (8, 96, (0.05, 0.4), 0.5, 0)],
    ):
        assert (view.get('num', 1), view.size, tuple(view.scale)) == (num, size, scale)
        assert view.blur.p == blur and view.get('solarize', dict(p=0))['p'] == solarise
        assert view.interpolation == 'bicubic' and view.flip == 0.5 and view.gray == 0.2
        assert view.jitter == dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.8)


FULL = dict(
    strategy='attention_low',
    q=1 / 8,
    p=1.0,
    replacement='mask_token',
    target='image',
    lambda1=1.0,
    lambda2=0.6,
    bn=True,
)
ROWS = {
    'mst_vit-s16_16xb64-coslr-100e_in1k': ({}, ['73.9', '75.0', '72.1']),
    'mst_vit-s16_16xb64-coslr-300e_in1k': ({}, ['76.3', '76.9', '75.0', '74.8', '72.9', '71.8']),
    'mst-mlm_vit-s16_16xb64-coslr-100e_in1k': (
        dict(strategy='random', replacement='bert', target='masked', lambda1=0, p=0.15),
        ['61.0'],
    ),
    'mst-mlm-dino_vit-s16_16xb64-coslr-100e_in1k': (
        dict(strategy='random', replacement='bert', target='masked', p=0.15),
        ['71.9'],
    ),
    'mst-bert_vit-s16_16xb64-coslr-100e_in1k': (dict(replacement='bert'), ['73.5']),
    'mst-lambda02_vit-s16_16xb64-coslr-100e_in1k': (dict(lambda2=0.2), ['73.7']),
    'mst-lambda04_vit-s16_16xb64-coslr-100e_in1k': (dict(lambda2=0.4), ['73.5']),
    'mst-lambda08_vit-s16_16xb64-coslr-100e_in1k': (dict(lambda2=0.8), ['73.6']),
    'mst-random001-nobn_vit-s16_16xb64-coslr-100e_in1k': (
        dict(strategy='random', p=0.01, bn=False),
        ['71.1'],
    ),
    'mst-p0-nobn_vit-s16_16xb64-coslr-100e_in1k': (
        dict(strategy='random', p=0, bn=False),
        ['72.6'],
    ),
    'mst-none_vit-s16_16xb64-coslr-100e_in1k': (dict(strategy='none'), ['73.1']),
    'mst-random_vit-s16_16xb64-coslr-100e_in1k': (dict(strategy='random', p=1 / 8), ['63.2']),
    'mst-high_vit-s16_16xb64-coslr-100e_in1k': (dict(strategy='attention_high'), []),
}


@pytest.mark.parametrize('name', ROWS)
def test_tables_and_sections_8_to_10(name):
    changed, reported = ROWS[name]
    cfg = load(name)
    expected = {**FULL, **changed}
    bn = expected.pop('bn')
    assert cfg.model.type == 'mssl_plugins.MST' and cfg.sync_bn == 'torch'  # section 3
    assert {k: cfg.model[k] for k in expected} == expected
    assert cfg.model.head.use_bn == bn and cfg.model.neck.get('use_bn', True) == bn
    assert cfg.model.backbone.mask_token
    for number in reported:
        assert number in cfg.catalogue.expected


def test_every_row_ships_and_nothing_else():
    shipped = {f.stem for f in (CONFIGS / 'mst').glob('*vit-s16*.py')}
    assert shipped == set(ROWS)


def test_dino_baseline():
    cfg = load('dino_vit-s16_16xb64-coslr-100e_in1k')
    assert cfg.model.type == 'mssl_plugins.DINO' and '71.6' in cfg.catalogue.expected
    assert not cfg.model.head.use_bn and cfg.model.head.norm_last_layer


def test_resnet_by_the_command_of_dinos_readme():
    """--optimizer sgd --lr 0.03 --weight_decay 1e-4 --weight_decay_end 1e-4, 8 GPUs of 64."""
    resnet = load('dino_resnet50_8xb64-coslr-100e_in1k')
    assert resnet.optim_wrapper.optimizer == dict(
        type='SGD', lr=0.03 * 512 / 256, momentum=0.9, weight_decay=1e-4
    )
    assert resnet.train_dataloader.batch_size * 8 == 512 == resnet.auto_scale_lr.base_batch_size
    warm, cosine = resnet.param_scheduler  # what the command leaves out is DINO's default
    assert (warm.end, cosine.begin, cosine.end, cosine.eta_min) == (10, 10, 100, 1e-6)
    assert resnet.default_hooks.clip.max_norm == 3.0 and resnet.sync_bn == 'torch'
    assert resnet.model.head.norm_last_layer and not resnet.model.head.use_bn
    assert 'criterion.teacher_temp' not in schedules(resnet)
    momentum = schedules(resnet)['teacher.momentum']
    assert (momentum.start, momentum.end) == (0.996, 1)
    assert 'optimizer.weight_decay' not in schedules(resnet)
    views = resnet.train_dataloader.dataset.pipeline[0].views
    assert [tuple(v.scale) for v in views] == [(0.14, 1), (0.14, 1), (0.05, 0.14)]


@pytest.mark.parametrize('file', FILES, ids=lambda f: f.stem)
def test_a_config_builds(file):
    """Model, hooks and views; ImageNet's with few prototypes, to save memory."""
    cfg = resolved(file)
    cfg.model.head.out_channels = 64
    cfg.model.head.hidden_channels = 64
    cfg.model.criterion.pop('out_channels', None)
    if 'in1k' in file.name and 'resnet' not in file.name:
        cfg.model.backbone.arch = dict(
            embed_dims=384, num_layers=1, num_heads=6, feedforward_channels=64
        )
    model = MODELS.build(cfg.model)
    for t in cfg.train_dataloader.dataset.pipeline:
        TRANSFORMS.build(t)
    for hook in cfg.default_hooks.values():
        if hook.type in ('mssl_plugins.ScheduleHook', 'mssl_plugins.FreezeHook'):
            HOOKS.build(dict(hook))
    for target in schedules(cfg):
        if not target.startswith('optimizer.'):
            owner, name = target.split('.')
            assert hasattr(getattr(model, owner), name)
    name = cfg.default_hooks.last_layer.names
    assert any(k.startswith(name) for k, _ in model.named_parameters())


def differences(a, b, prefix=''):
    """Dotted keys at which two configs differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return {
            d for key in {*a, *b} for d in differences(a.get(key), b.get(key), f'{prefix}.{key}')
        }
    return set() if a == b else {prefix[1:]}


SIZES = (
    'vit-mini_1xb64-coslr-6e_cifar10',
    'vit-t4_1xb256-coslr-200e_cifar10',
    'vit-s16_16xb64-coslr-100e_in1k',
    'vit-mini_1xb64-coslr-6e_scenes',
)
RECONSTRUCTION = {
    'model.' + k
    for k in (
        'type',
        'neck',
        'strategy',
        'q',
        'p',
        'replacement',
        'target',
        'lambda1',
        'lambda2',
        'backbone.mask_token',
        'bn_per_view',
    )
}  # MST's default is True


@pytest.mark.parametrize('size', SIZES)
def test_a_baseline_differs_in_what_is_studied(size):
    """MST beside dino-bn: the reconstruction and its mask; dino-bn beside dino: BatchNorm."""
    mst, bn, dino = (load(f'{n}_{size}')._cfg_dict.to_dict() for n in ('mst', 'dino-bn', 'dino'))
    assert bn['model']['bn_per_view'] and mst['model'].get('bn_per_view', True)
    ignored = {'catalogue.' + k for k in ('method', 'base', 'paper', 'expected', 'cost')} | {
        'images',
        'queries',
        'small',
        'default_hooks.logger.interval',
    }
    assert {
        k for k in differences(mst, bn) - ignored if k.split('.')[0] != 'load'
    } <= RECONSTRUCTION
    assert differences(bn, dino) - ignored <= {'model.bn_per_view', 'model.head.use_bn', 'sync_bn'}
