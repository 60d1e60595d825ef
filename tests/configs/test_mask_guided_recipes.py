"""Tables 1 and 2 of the mask-guided supplement against the shipped configs, and what each builds.

Tables 3 to 6 are evaluation protocols, see configs/benchmarks.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper

from helpers.configs import resolved
from mssl_plugins.engine.hooks.schedule_hook import Schedule
from mssl_plugins.registry import HOOKS, MODELS, TRANSFORMS

CONFIGS = Path(__file__).parents[2] / 'configs'
FILES = {f.stem: f for f in sorted((CONFIGS / 'mask_guided').glob('*.py'))}
IN100 = [name for name in FILES if 'in100' in name]
SMALL = [name for name in FILES if 'in100' not in name]
DINO = [name for name in IN100 if 'dino_' in name]
MAE = [name for name in IN100 if 'mae_' in name]


def load(name):
    return resolved(FILES[name])


def schedules(cfg):
    return {
        s.target: s
        for hook in cfg.default_hooks.values()
        if hook.type == 'mssl_plugins.ScheduleHook'
        for s in hook.schedules
    }


def relation(name):
    """What the name says of the bias of phase 1."""
    if not name.startswith('mask-guided') or 'distill' in name:
        return None
    negative = 'negative' in name
    return dict(positive=not negative, negative=negative, init=2.0 if 'init2' in name else 0.0)


@pytest.mark.parametrize('name', DINO)
def test_table_1(name):
    cfg = load(name)
    optimizer, (warm, cosine) = cfg.optim_wrapper.optimizer, cfg.param_scheduler
    assert optimizer.type == 'AdamW'
    assert cfg.auto_scale_lr.base_batch_size == 512
    assert cfg.train_dataloader.batch_size * 8 == 512
    assert optimizer.lr == 2.5e-3 * 512 / 256  # base lr, linear scaling
    assert (warm.type, warm.end, warm.convert_to_iter_based) == ('LinearLR', 10, True)
    epochs = cfg.train_cfg.max_epochs
    assert (cosine.type, cosine.begin, cosine.end, cosine.T_max) == (
        'CosineAnnealingLR',
        10,
        epochs,
        epochs - 10,
    )
    moving = schedules(cfg)
    decay = moving['optimizer.weight_decay']
    assert (decay.start, decay.end, decay.curve) == (0.04, 0.4, 'cosine') and 'length' not in decay
    assert optimizer.weight_decay == 0.04
    temperature = Schedule(**moving['criterion.teacher_temp'])
    values = [temperature.value(10 * e + 7, 10, 10 * epochs) for e in range(epochs)]
    assert values == pytest.approx(  # DINO's formula
        np.concatenate([np.linspace(0.04, 0.07, 30), np.full(epochs - 30, 0.07)])
    )
    if 'distill' in name:  # the teacher stands still
        assert 'teacher.momentum' not in moving
    else:
        momentum = moving['teacher.momentum']
        assert (momentum.start, momentum.end, momentum.curve) == (0.996, 1.0, 'cosine')
        assert cfg.model.momentum == 0.996
    views = cfg.train_dataloader.dataset.pipeline[-2].views
    for view in views:  # RandomResizedCrop (the default), jittering, blur, flip; solarisation below
        assert view.get('crop', 'random_resized') == 'random_resized' and view.flip == 0.5
        assert view.jitter.p == 0.8 and view.blur.p > 0
    assert [view.get('solarize', dict(p=0))['p'] for view in views] == [0, 0.2, 0]
    assert [(v.get('num', 1), v.size) for v in views] == [(1, 224), (1, 224), (8, 96)]
    # our choices
    assert epochs == 300 and cfg.model.backbone.patch_size == 16
    assert cfg.model.backbone.arch == 'deit-small' and cfg.model.head.norm_last_layer
    assert cfg.default_hooks.last_layer.names == 'head.last_layer'


@pytest.mark.parametrize('name', FILES)
def test_the_bias_is_frozen_where_the_paper_does_so(name):
    """A: with DINO the first 100 epochs, with MAE never."""
    cfg, frozen = load(name), relation(name) is not None and 'dino_' in name
    hook = cfg.default_hooks.get('bias')
    assert (hook is not None) == frozen
    if frozen:
        assert (hook.type, hook.names) == ('mssl_plugins.FreezeHook', 'backbone.mask_bias')
        assert hook.length == (100 if name in IN100 else 2) < cfg.train_cfg.max_epochs


@pytest.mark.parametrize('name', MAE)
def test_table_2(name):
    cfg = load(name)
    optimizer, (warm, cosine) = cfg.optim_wrapper.optimizer, cfg.param_scheduler
    assert (optimizer.type, optimizer.betas) == ('AdamW', (0.9, 0.95))
    assert cfg.auto_scale_lr.base_batch_size == 4096 == cfg.train_dataloader.batch_size * 8
    assert optimizer.lr == 1.5e-4 * 4096 / 256
    epochs = cfg.train_cfg.max_epochs
    assert (warm.type, warm.end) == ('LinearLR', 40)
    assert (cosine.type, cosine.begin, cosine.end, cosine.T_max) == (
        'CosineAnnealingLR',
        40,
        epochs,
        epochs - 40,
    )
    (view,) = cfg.train_dataloader.dataset.pipeline[-2].views
    assert view.get('crop', 'random_resized') == 'random_resized'
    assert not {'jitter', 'gray', 'blur', 'solarize'} & set(view)
    assert epochs == 800  # our choice
    if 'distill' not in name:
        assert cfg.model.mask_ratio == 0.75
        patch = 8 if 'vit-b8' in name else 16
        assert cfg.model.backbone.patch_size == cfg.model.neck.patch_size == patch
        assert cfg.model.get('mask_unit', 1) == 16 // patch  # A.2: 2 x 2 tokens at ViT/8
        assert cfg.model.neck.num_patches == (224 // patch) ** 2


def test_every_column_ships():
    """DINO and MAE alone and with the bias of either relation; phase 2; ViT/8."""
    stems = {
        f'{a}_vit-s16_8xb64-coslr-300e_in100'
        for a in (
            'dino',
            'mask-guided_dino',
            'mask-guided-negative_dino',
            'mask-guided-init2_dino',
            'mask-guided-distill_dino',
        )
    }
    stems |= {
        f'{a}_vit-b16_8xb512-coslr-800e_in100'
        for a in ('mae', 'mask-guided_mae', 'mask-guided-negative_mae', 'mask-guided-distill_mae')
    }
    stems |= {
        'mae_vit-b8_8xb512-coslr-800e_in100',
        'mask-guided_mae_vit-b8_8xb512-coslr-800e_in100',
    }
    assert set(IN100) == stems


@pytest.mark.parametrize('name', FILES)
def test_what_the_name_says(name):
    """Type, relation, segments of the train set before the views, and of those measured."""
    cfg = load(name)
    base = 'DINO' if 'dino_' in name else 'MAE'
    guided, distill = relation(name), 'distill' in name
    kind = f'MaskGuided{base}' if guided else f'MaskGuided{base}Distill' if distill else base
    assert cfg.model.type == f'mssl_plugins.{kind}'
    assert cfg.model.backbone.get('mask_bias') == guided
    if guided or distill:
        assert cfg.model.num_segments == 32  # our choice
    names = [t.type.split('.')[1] for t in cfg.train_dataloader.dataset.pipeline]
    scenes = 'scenes' in name
    if scenes:
        assert cfg.train_dataloader.dataset.segments
    loads = bool((guided or distill) and not scenes)
    assert names == ['LoadSegments'] * loads + ['Views', 'PackViews']
    files = []
    for part in ('bank', 'test'):
        pipeline = cfg.default_hooks.knn[part].dataset.pipeline
        assert [t.type.split('.')[1] for t in pipeline] == ['LoadSegments'] * bool(
            guided and not scenes
        ) + ['CenterView', 'PackViews']
        files.append(pipeline[0].get('segments'))
    if guided and not scenes:
        train = cfg.train_dataloader.dataset.pipeline[0].segments
        assert train == files[0] != files[1] and train.startswith('data/segments/')
    branch = cfg.default_hooks.knn.get('branch', 'student')
    assert branch == ('teacher' if base == 'DINO' and not distill else 'student')


@pytest.mark.parametrize('name', [name for name in FILES if 'distill' in name])
def test_phase_2_starts_where_phase_1_ends(name):
    cfg = load(name)
    phase1 = name.replace('-distill', '')
    before = load(phase1)
    assert cfg.model.teacher.checkpoint == (
        f'work_dirs/{phase1}/epoch_{before.train_cfg.max_epochs}.pth'
    )
    # the same settings as in phase 1 (A.1)
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr'):
        assert cfg.get(key) == before.get(key), key
    for part in ('criterion', 'head'):
        assert cfg.model.get(part) == (before.model.get(part) if 'dino_' in name else None)


@pytest.mark.parametrize('name', FILES)
def test_method_and_epochs_are_those_of_the_catalogue(name):
    cfg = load(name)
    assert cfg.catalogue.epochs == cfg.train_cfg.max_epochs
    assert cfg.catalogue.method == (
        'mask-guided' if name.startswith('mask-guided') else cfg.catalogue.base
    )


@pytest.mark.parametrize('name', FILES)
def test_a_config_builds_at_full_size(name):
    """On the meta device: no memory, no time."""
    cfg = load(name)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    for t in cfg.train_dataloader.dataset.pipeline:
        TRANSFORMS.build(t)
    for hook in cfg.default_hooks.values():
        if hook.type in ('mssl_plugins.ScheduleHook', 'mssl_plugins.FreezeHook'):
            HOOKS.build(dict(hook))
            for name_ in [hook.get('names')] if 'names' in hook else []:
                assert any(k.startswith(name_ + '.') for k, _ in model.named_parameters())
    for target in schedules(cfg):
        if not target.startswith('optimizer.'):
            owner, attribute = target.split('.')
            assert hasattr(getattr(model, owner), attribute)
    bias = [k for k, p in model.named_parameters() if 'mask_bias' in k and p.requires_grad]
    letters = {k.split('.')[-2] for k in bias}
    given = relation(name) or {}
    assert letters == {
        letter for letter, key in (('a', 'positive'), ('b', 'negative')) if given.get(key)
    }
    assert all(k.startswith('backbone.') for k in bias)


@pytest.mark.parametrize(
    'name',
    [
        'mask-guided_dino_vit-s16_8xb64-coslr-300e_in100',
        'mask-guided_mae_vit-b16_8xb512-coslr-800e_in100',
        'mask-guided_dino_vit-mini_1xb64-coslr-6e_cifar10',
        'mask-guided_mae_vit-mini_1xb64-coslr-12e_cifar10',
    ],
)
def test_no_decay_pulls_the_bias_to_zero(name):
    cfg = load(name)
    cfg.model.backbone.arch = dict(
        embed_dims=cfg.model.backbone.get('embed_dims', 24),
        num_layers=2,
        num_heads=2,
        feedforward_channels=8,
    )
    if 'head' in cfg.model:
        cfg.model.head.update(in_channels=24, out_channels=8, hidden_channels=8)
    else:
        cfg.model.neck.update(
            embed_dim=24, decoder_embed_dim=16, decoder_depth=1, decoder_num_heads=2
        )
    model = MODELS.build(cfg.model)
    cfg.optim_wrapper.type = 'OptimWrapper'
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    groups = {id(p): g for g in wrapper.optimizer.param_groups for p in g['params']}
    bias = list(model.backbone.mask_bias.parameters())
    assert len(bias) == 2 and {groups[id(p)]['weight_decay'] for p in bias} == {0}
    rate = 10 if name in SMALL else 1  # as many steps are missing
    assert {groups[id(p)]['lr'] for p in bias} == {rate * cfg.optim_wrapper.optimizer.lr}
    other = groups[id(model.backbone.layers[0].ffn.layers[1].weight)]
    assert other['weight_decay'] > 0 and other['lr'] == cfg.optim_wrapper.optimizer.lr


def test_on_scenes_the_baseline_is_asked_the_same_queries():
    """The generated scenes: DINO, MST and the bias are measured on the same images."""
    knns = [
        resolved(CONFIGS / f).default_hooks.knn
        for f in (
            'dino/dino_vit-mini_1xb64-coslr-6e_scenes.py',
            'mst/mst_vit-mini_1xb64-coslr-6e_scenes.py',
            'mask_guided/mask-guided_dino_vit-mini_1xb64-coslr-6e_scenes.py',
        )
    ]
    for part in ('bank', 'test'):
        assert len({(k[part].dataset.indices, k[part].dataset.length) for k in knns}) == 1
    assert len({k.k for k in knns}) == len({k.temperature for k in knns}) == 1
