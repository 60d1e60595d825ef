"""Every photo recipe: its model can be built, and its network goes where the pages say."""

import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import MODELS

from mssl_plugins.catalogue import configs
from mssl_plugins.checkpoints import architecture
from mssl_plugins.checkpoints import naming as keys
from mssl_plugins.checkpoints.reader import Backbone
from mssl_plugins.config import read_config
from mssl_plugins.export import TARGETS

ENTRIES = {entry['name']: entry for entry in configs() if '/photos/' in entry['path']}


def test_each_method_has_a_small_and_a_larger_network():
    names = {tuple(name.split('_')[:-2]) for name in ENTRIES}
    assert len(ENTRIES) == 2 * len(names)


@pytest.mark.parametrize('name', ENTRIES)
def test_a_recipe_is_built_and_exported(name):
    cfg, larger = read_config(name), 'resnet50' in name or 'vit-s16' in name
    assert ENTRIES[name]['data'] == 'photos'
    # shapes without values take a fraction of the time; MMPretrain's ResNet reads values
    with torch.device('cpu' if 'resnet' in name else 'meta'):
        model = MODELS.build(cfg.model)
    steps = cfg.train_dataloader.dataset.pipeline
    Compose([step for step in steps if step['type'] != 'mssl_plugins.LoadSegments'])
    weights = {k: v.detach() for k, v in model.backbone.state_dict().items()}
    guided = [k for k in weights if k.startswith('mask_bias.')]
    assert bool(guided) == name.startswith('mask-guided_')
    weights = {k: v for k, v in weights.items() if k not in guided}  # a plain network's, once 0
    family = keys.recognize(weights)[0]
    weights = keys.to_ours(weights)
    described = architecture.describe(family, weights, cfg.model.backbone.to_dict())
    if family == 'resnet':
        assert described['depth'] == (50 if larger else 18)
    else:
        assert described['arch']['embed_dims'] == (384 if larger else 192)
    images = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
    found = Backbone(family, weights, described, images.mean, images.std, {})
    for target, package in TARGETS.items():
        assert len(package(found).weights) > 50, target
