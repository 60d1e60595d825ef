"""The catalogue: every config is in it, says what it does and is found by name and path."""

from pathlib import Path

import pytest

from helpers.configs import resolved
from helpers.paths import ROOT
from mssl_plugins import catalogue


def test_every_config_is_listed_and_described():
    found = {Path(entry['path']).resolve(): entry for entry in catalogue.configs()}
    files = {
        path.resolve() for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts
    }
    assert found.keys() == files and files
    for entry in found.values():
        for key in ('name', 'path', *catalogue.KEYS):
            assert entry[key] not in (None, ''), (entry['name'], key)
    names = [entry['name'] for entry in found.values()]
    assert len(set(names)) == len(names)  # a name means one config


def test_catalogue_says_what_the_config_does():

    for entry in catalogue.configs():
        cfg = resolved(entry['path'])
        assert {k: entry[k] for k in catalogue.KEYS} == {
            k: cfg.catalogue.get(k) for k in catalogue.KEYS
        }, entry['name']
        if 'max_iters' in cfg.train_cfg:  # detection counts iterations
            assert cfg.catalogue.iterations == cfg.train_cfg.max_iters, entry['name']
        else:
            assert entry['epochs'] == cfg.train_cfg.max_epochs, entry['name']


def test_find_by_name_and_path():
    entry = catalogue.configs()[0]
    for given in (entry['name'], entry['name'] + '.py', entry['path']):
        assert catalogue.find(given).samefile(entry['path'])


def test_unknown_names_get_the_nearest():
    name = catalogue.configs('mixmask')[0]['name']
    with pytest.raises(ValueError, match=name):
        catalogue.find(name.replace('1', '_'))
    with pytest.raises(ValueError, match='mixmask'):
        catalogue.configs('mixmsk')


@pytest.mark.parametrize('given, near', [('mea', 'mae'), ('moco', 'mocov2'), ('masko', 'maskco')])
def test_a_misspelled_photo_recipe_gets_the_nearest_short_name(given, near):
    with pytest.raises(ValueError, match=f"did you mean 'photos/{near}'"):
        catalogue.find(f'photos/{given}')
