"""Every probe and fine-tuning has a pre-training of its image size and backbone, and back."""

import json
from functools import lru_cache

import pytest
import torch
from mmengine.registry import init_default_scope

import mssl_plugins.models  # noqa: F401
from helpers.configs import resolved
from mssl_plugins import catalogue
from mssl_plugins.config import each_dict
from mssl_plugins.registry import MODELS

ENTRIES = {e['name']: e for e in catalogue.configs()}
#: data sets that pre-training and evaluation name differently
SAME_DATA = dict(tiny='tiny_imagenet')
DATA = ('imagenet', 'imagenet100', 'cifar10', 'cifar100', 'tiny_imagenet')


def is_benchmark(entry):
    return 'benchmarks/classification' in entry['path']


def data(entry):
    return SAME_DATA.get(entry['data'], entry['data'])


PROBES = sorted(name for name, e in ENTRIES.items() if is_benchmark(e))
PRETRAININGS = sorted(
    name
    for name, e in ENTRIES.items()
    if 'benchmarks' not in e['path'] and data(e) in DATA and e['epochs'] > 12
)


@lru_cache(maxsize=None)
def load(name):
    return resolved(ENTRIES[name]['path'])


def sizes(name):
    """Sides in px of what the network sees: trained on, tested on."""
    cfg = load(name)
    (train,) = {s for s in map(side, each_dict(cfg.train_dataloader.dataset)) if s}
    if is_benchmark(ENTRIES[name]):
        (test,) = {s for s in map(side, each_dict(cfg.val_dataloader.dataset)) if s}
        return train, test
    return train, train


def side(transform):
    kind = str(transform.get('type', '')).split('.')[-1]
    if kind in ('Views', 'MaskCoViews'):
        return transform['views'][0]['size']  # the global views
    return transform.get(
        dict(
            RandomResizedCrop='scale',
            RandomCrop='crop_size',
            CenterCrop='crop_size',
            CenterView='size',
        ).get(kind)
    )


@lru_cache(maxsize=None)
def built(config, size):
    """Shapes of a backbone's weights and, of a ResNet, of the map it makes of an image."""
    init_default_scope('mmpretrain')
    backbone, shape = MODELS.build(json.loads(config)), ()
    backbone.eval()  # mmpretrain's ResNet returns None here
    if hasattr(backbone, 'layer4'):
        shape = tuple(backbone(torch.zeros(1, 3, size, size))[-1].shape)
    weights = {
        k: tuple(v.shape)
        for k, v in backbone.state_dict().items()
        if not k.endswith('num_batches_tracked')
    }
    return weights, shape


def backbone(name):
    cfg = load(name)
    config = {
        k: v
        for k, v in cfg.model.backbone.items()
        if k
        not in (
            'init_cfg',
            'frozen_stages',
            'norm_eval',
            'drop_path_rate',
            'out_type',
            'final_norm',
        )
    }
    return built(json.dumps(config, sort_keys=True), sizes(name)[0])


def fits(probe, pretraining):
    """Same image size; every weight of the probe's backbone is trained, and the map is as large."""
    size, _ = sizes(probe)
    if sizes(pretraining)[0] != size:
        return False
    (wanted, shape), (given, other) = backbone(probe), backbone(pretraining)
    return shape == other and all(given.get(k) == v for k, v in wanted.items())


def same_data(probe):
    return [
        name
        for name in PRETRAININGS
        if data(ENTRIES[name])
        in (data(ENTRIES[probe]), 'imagenet' if data(ENTRIES[probe]) == 'imagenet100' else None)
    ]


@pytest.mark.parametrize('probe', PROBES)
def test_probe_has_a_pretraining(probe):
    train, test = sizes(probe)
    assert train == test
    assert any(fits(probe, name) for name in same_data(probe))


@pytest.mark.parametrize(
    'name', [n for n in PRETRAININGS if data(ENTRIES[n]) != 'imagenet100' and 'resnet' in n]
)
def test_resnet_pretraining_has_a_probe(name):
    probes = [
        p
        for p in PROBES
        if data(ENTRIES[p]) == data(ENTRIES[name]) and ('linear' in p or 'multilayer' in p)
    ]
    assert [p for p in probes if fits(p, name)], f'{name}: none of {probes}'


@pytest.mark.parametrize(
    'pretraining, probe',
    [
        *(
            (
                f'{base}_resnet18_1xb512-coslr-1000e_tiny-in',
                'resnet18_1xb256-linear-moco-steplr-100e_tiny-in',
            )
            for base in ('moco', 'simsiam')
        ),
        *(
            (
                f'{base}_resnet18_1xb512-steplr-1000e_tiny-in',
                'resnet18-pool_1xb256-linear-moco-steplr-100e_tiny-in',
            )
            for base in ('simclr', 'byol')
        ),
    ],
)
def test_tiny_imagenet(pretraining, probe):
    assert sizes(probe) == (64, 64) and fits(probe, pretraining)
    (other,) = {
        'resnet18_1xb256-linear-moco-steplr-100e_tiny-in',
        'resnet18-pool_1xb256-linear-moco-steplr-100e_tiny-in',
    } - {probe}
    assert not fits(other, pretraining)
