"""The catalogue is the only place of a config's facts; the metafiles are made from it."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from helpers.paths import ROOT
from helpers.tools import tool
from mssl_plugins.catalogue import KEYS, configs

ENTRIES = {e['name']: e for e in configs()}
METAFILES = sorted((ROOT / 'configs').rglob('metafile.yml'))
# Whose a figure is: a paper's, or somebody's that we cannot check.
SOURCE = re.compile(r'reported (by|in) |second-hand|README|repository')


def load(path):
    return yaml.safe_load(path.read_text())


def assigned(path):
    """The literals that a config file assigns itself."""
    return {
        node.targets[0].id: node.value
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


@pytest.mark.parametrize('name', ENTRIES)
def test_every_config_has_every_fact_once(name):
    path = Path(ENTRIES[name]['path'])
    own = {k.arg: ast.literal_eval(k.value) for k in assigned(path)['catalogue'].keywords}
    assert list(own) == [k for k in (*KEYS[:4], 'iterations', *KEYS[4:]) if k in own or k in KEYS]
    assert all(own[key] or key == 'epochs' for key in own)  # k-NN trains for 0
    if re.search(r'\d\d\.\d', own['expected']):
        assert SOURCE.search(own['expected']), 'whose figure is it?'
    comments = [line for line in path.read_text().splitlines() if line.startswith('#')]
    assert not re.match('# [A-Z][a-z]+:', comments[0])  # a title
    assert any(path.stem in line for line in comments if line.startswith(('# Command: ', '#   ')))
    for line in comments:
        assert not re.match('# (Paper|Expected|Cost|Method|Base|Data|Epochs):', line), line
    told = path.read_text().split('\n_base_')[0].split('\ncatalogue')[0]  # before the catalogue
    assert not re.search(r'arXiv|(linear|fine-tuned|AP) \d\d\.\d', told), "that is the catalogue's"


def test_metafiles_say_what_the_configs_say():
    """They are generated (tools/metafiles.py): run it after a change of a config."""
    for path, text in tool('metafiles').build().items():
        assert path.read_text() == text, f'{path}: run python tools/metafiles.py'


def test_model_index_names_every_metafile():
    named = load(ROOT / 'model-index.yml')['Import']
    assert sorted(named) == [str(p.relative_to(ROOT)) for p in METAFILES]


def test_every_config_is_listed_in_its_folder():
    collections = {c['Name']: c for path in METAFILES for c in load(path).get('Collections', ())}
    for path in METAFILES:
        models = load(path)['Models']
        listed = [m['Config'] for m in models]
        assert sorted(listed) == sorted(str(p.relative_to(ROOT)) for p in path.parent.glob('*.py'))
        assert {m['In Collection'] for m in models} <= set(collections)
        for model in models:
            entry = ENTRIES[model['Name']]
            assert model['Metadata']['Expected'] == entry['expected']
            assert 'Results' not in model  # those of published weights: there are none
    for collection in collections.values():
        assert (ROOT / collection['README']).exists()
        if 'Paper' in collection:
            assert collection['Paper']['URL'].startswith('https://')
            assert (ROOT / collection['Code']['URL']).exists()


def test_mim_searches_the_index():
    """mim's own code on this checkout; tests/test_packaging.py asks the installed package."""
    search = pytest.importorskip('mim.commands.search', reason='needs onedl-mim')
    found = search.convert2df(search.load(str(ROOT / 'model-index.yml')))
    assert set(found.index) == set(ENTRIES)
    assert set(found['config']) == {
        str(Path(e['path']).relative_to(ROOT)) for e in ENTRIES.values()
    }
    mst = search.filter_by_models(found, ['MST'])
    assert set(mst['readme']) == {'configs/mst/README.md'}
    assert 'mst_vit-s16_photos' in mst.index
    few = search.filter_by_conditions(
        search.filter_by_training_datasets(mst, ['ImageNet-1k']), 'epochs>100'
    )
    assert list(few.index) == ['mst_vit-s16_16xb64-coslr-300e_in1k']
    assert few['expected'].item().endswith('(reported by the paper)')
