"""Every number of MaskCo's specification and supplement against the shipped configs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate

from helpers.configs import resolved
from mssl_plugins.catalogue import configs
from mssl_plugins.registry import MODELS, TRANSFORMS

FOLDER = Path(__file__).parents[2] / 'configs' / 'maskco'
NAMES = sorted(p.stem for p in FOLDER.glob('*.py'))
LARGE = [n for n in NAMES if 'resnet50' in n]


def load(name):
    return resolved(FOLDER / f'{name}.py')


def plain(value):
    """Without the scope marks of inherited configs."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k != '_scope_'}
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def catalogue(name):
    return next(c for c in configs('maskco') if c['name'] == name)


@pytest.mark.parametrize('name', LARGE)
def test_recipe(name):
    """Section A.2, and MoCo v2 of OpenSelfSup where the supplement is silent."""
    cfg = load(name)
    views, pack = cfg.train_dataloader.dataset.pipeline
    # M = 16 boxes an image x N = 31 other images of a GPU; with (+in) 16 more
    assert cfg.train_dataloader.batch_size == 32 and views.num_boxes == 16
    negatives = views.num_boxes * (cfg.train_dataloader.batch_size - 1 + cfg.model.intra)
    assert negatives == (512 if '-in_' in name else 496)
    assert cfg.auto_scale_lr.base_batch_size == 8 * 32 == 256
    assert cfg.train_cfg.max_epochs == 200 and cfg.train_cfg.type == 'EpochBasedTrainLoop'
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == (
        'SGD',
        0.03,
        0.9,
        1e-4,
    )
    (schedule,) = cfg.param_scheduler
    assert schedule.type == 'CosineAnnealingLR' and schedule.T_max == 200
    model = cfg.model
    assert (model.momentum, model.temperature, model.shuffle_bn) == (0.999, 0.2, True)
    assert model.backbone.depth == 50
    assert (model.head.in_channels, model.head.hid_channels, model.head.out_channels) == (
        2048,
        2048,
        128,
    )
    assert model.head.roi_size == 3
    if model.neck is not None:
        assert (model.neck.depth, model.neck.hidden_channels, model.neck.in_channels) == (
            2,
            512,
            2048,
        )
    (view,) = views.views
    assert (view.num, view.size, view.scale) == (2, 224, (0.2, 1.0))
    assert plain(view.jitter) == dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)
    assert (
        view.flip == 0.5 and view.gray == 0.2 and plain(view.blur) == dict(sigma=[0.1, 2.0], p=0.5)
    )
    assert (tuple(views.area), tuple(views.aspect), views.min_cells) == ((0.1, 0.4), (0.5, 2.0), 2)
    assert pack['keys'] == ('masked_box', 'key_boxes')


def test_default_views_are_the_specification():
    transform = TRANSFORMS.build(
        dict(type='mssl_plugins.MaskCoViews', views=[dict(num=2, size=224)])
    )
    assert transform.tries == 10 and transform.num_boxes == 16


@pytest.mark.parametrize('data', ['coco', 'cc'])
@pytest.mark.parametrize('variant', ['maskco', 'maskco-in'])
def test_same_hyper_parameters_on_all_sets(data, variant):
    ours, imagenet = (load(f'{variant}_resnet50_8xb32-coslr-200e_{d}') for d in (data, 'in1k'))
    for key in ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'auto_scale_lr'):
        assert plain(ours[key]) == plain(imagenet[key]), key
    assert plain(ours.train_dataloader.dataset.pipeline) == plain(
        imagenet.train_dataloader.dataset.pipeline
    )
    assert ours.train_dataloader.batch_size == imagenet.train_dataloader.batch_size


def test_pre_training_sets_need_no_labels():
    coco, cc = (
        load(f'maskco_resnet50_8xb32-coslr-200e_{d}').train_dataloader.dataset
        for d in ('coco', 'cc')
    )
    assert coco.type == cc.type == 'mssl_plugins.ImageFolder'
    assert coco.labels is False and cc.labels is False and cc.list_file


VARIANTS = {
    'maskco': {},
    'maskco-in': dict(intra=True),
    'maskco-nomask': dict(fill='none'),
    'maskco-nomph': dict(neck=None),
    'maskco-nomph-nomask': dict(fill='none', neck=None),
    'maskco-conv': dict(kind='conv'),
    'maskco-querymph': dict(mph_on_key=False),
    'maskco-noise': dict(fill='noise'),
    'maskco-imagemean': dict(fill='image_mean'),
}


def changed(model, neck={}, kind='transformer', **change):
    """A model's config with a variant's change."""
    neck = None if neck is None else dict(model['neck'], kind=kind)
    return dict(model, neck=neck, **change)


@pytest.mark.parametrize('name', LARGE)
def test_variants_differ_in_one_thing(name):
    base = plain(load('maskco_resnet50_8xb32-coslr-200e_in1k').model)
    assert plain(load(name).model) == changed(base, **VARIANTS[name.split('_')[0]])


def test_every_variant_is_shipped():
    assert {name.split('_')[0] for name in LARGE} == set(VARIANTS)


@pytest.mark.parametrize('name', NAMES)
def test_mph_is_part_of_both_networks(name):
    """Algorithm 1: net is "the backbone and MPH", net_k follows all of net_q."""
    model = MODELS.build(load(name).model)
    ours, theirs = model.neck.state_dict(), model.encoder_k.module.mph.state_dict()
    if '-nomph' in name:
        assert not ours and not theirs
    elif '-querymph' in name:
        assert ours and not theirs
    else:
        assert ours and ours.keys() == theirs.keys()


# Table 1: the other methods' rows are the page's
TABLE_1 = {
    'random weights': (11.4, 16.2, 13.5, 9.1, 6.5),
    'supervised': (15.2, 34.0, 47.9, 67.6, 76.2),
    'relative position': (14.8, 31.3, 45.8, 49.3, 40.2),
    'rotation': (12.9, 34.3, 44.9, 55.0, 49.1),
    'NPID': (14.3, 31.2, 40.7, 54.5, 56.6),
    'MoCo v2': (14.7, 32.8, 45.0, 61.6, 66.7),
    'SimCLR': (17.1, 31.4, 41.4, 54.4, 61.6),
    'BYOL': (15.5, 34.5, 47.2, 62.8, 71.6),
    'MaskCo': (15.4, 33.6, 45.8, 59.6, 65.1),
}


@pytest.mark.parametrize('method', TABLE_1)
def test_table_1(method):
    page = (FOLDER / 'README.md').read_text()
    assert f'| {method} | ' + ' | '.join(map(str, TABLE_1[method])) + ' |' in page
    if method == 'MaskCo':
        words = ' / '.join(map(str, TABLE_1[method]))
        assert words in catalogue('maskco_resnet50_8xb32-coslr-200e_in1k')['expected']


@pytest.mark.parametrize(
    'name, fill, expected',
    [
        (
            'maskco-nomph_resnet50_8xb32-coslr-200e_coco',
            'mean',
            'VOC AP / AP50 / AP75 56.2 / 81.4 / 62.6, linear conv4 55.3, conv5 38.5',
        ),
        (
            'maskco-nomph-nomask_resnet50_8xb32-coslr-200e_coco',
            'none',
            'VOC AP / AP50 / AP75 54.1 / 79.5 / 59.5, linear conv4 51.8, conv5 51.1',
        ),
    ],
)
def test_table_2(name, fill, expected):
    assert catalogue(name)['expected'] == f'{expected} (reported by the paper)'
    assert load(name).model.fill == fill and load(name).model.neck is None


@pytest.mark.parametrize('name', NAMES)
def test_epochs_are_those_of_the_catalogue(name):
    assert catalogue(name)['epochs'] == load(name).train_cfg.max_epochs


@pytest.mark.parametrize(
    'name',
    [
        'maskco_resnet50_8xb32-coslr-200e_in1k',
        'maskco_resnet18_1xb32-coslr-200e_tiny20',
        'maskco_resnet18_1xb32-coslr-4e_tiny20',
        'maskco-nomph-nomask_resnet18_1xb32-coslr-4e_tiny20',
        'maskco_resnet18_1xb32-coslr-5e_cifar10',
        'maskco_resnet18_1xb32-coslr-5e_scenes',
    ],
)
def test_pipeline_and_model_fit(name):
    """One step of every network, on views made by its own pipeline."""
    cfg = load(name)
    pipeline = [TRANSFORMS.build(step) for step in cfg.train_dataloader.dataset.pipeline]
    group = pipeline[0].groups[0]
    samples = []
    for seed in range(2):
        results = dict(
            img=np.random.default_rng(seed).integers(
                0, 256, (group.size, group.size + 8, 3), dtype=np.uint8
            )
        )
        for step in pipeline:
            results = step(results)
        samples.append(results)
    model = MODELS.build(cfg.model)
    data = model.data_preprocessor(default_collate(samples), training=True)
    maps = model.backbone(data['inputs'][0])[-1]
    assert maps.shape[-1] * cfg.train_dataloader.dataset.pipeline[0].stride == group.size
    if 'resnet50' not in name:
        model.loss(**data)['loss'].backward()
        assert torch.stack([p.grad.norm() for p in model.backbone.parameters()]).isfinite().all()


@pytest.mark.parametrize('suffix', ['1xb32-coslr-200e_tiny20', '1xb32-coslr-4e_tiny20'])
@pytest.mark.parametrize('variant', ['maskco-nomask', 'maskco-nomph', 'maskco-nomph-nomask'])
def test_small_variants_differ_in_one_thing(variant, suffix):
    base, cfg = load(f'maskco_resnet18_{suffix}'), load(f'{variant}_resnet18_{suffix}')
    assert plain(cfg.model) == changed(plain(base.model), **VARIANTS[variant])
    for key in ('train_dataloader', 'optim_wrapper', 'param_scheduler', 'train_cfg'):
        assert plain(cfg[key]) == plain(base[key])
