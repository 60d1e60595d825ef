"""A short run of attacks by files: none executes, none touches what is not its own."""

import os
from pathlib import Path

import pytest

from helpers.tools import tool

attacks = tool('reliability/attacks')
hostile = tool('reliability/hostile')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """What the attacks start from."""
    attacks.sandbox.preload()
    root = tmp_path_factory.mktemp('attacks')
    attacks.prepare(root)
    return root


@pytest.mark.parametrize('number', range(6))
def test_attacks_do_nothing(root, number):
    found = attacks.attack(number, 7, root)
    assert not found['executed'] and not found['touched'], found
    assert found['kind'] in ('refused', 'ran'), found


def test_an_execution_would_be_seen(root, monkeypatch):
    """By a reader that unpickles, which the library has none of."""

    def careless(rng, place: Path):
        import pickle

        data = pickle.dumps(hostile.Call(os.system, f'touch {place.executed}'))
        monkeypatch.setattr('mssl_plugins.commands.main.main', lambda argv: pickle.loads(data))
        return []

    monkeypatch.setitem(attacks.FAMILIES, 'checkpoints', careless)
    found = attacks.attack(0, 7, root)
    assert found['executed'] and str(root / 'executed') in found['touched']


def test_a_touched_file_would_be_seen(root, monkeypatch):
    def careless(rng, place: Path):
        monkeypatch.setattr(
            'mssl_plugins.commands.main.main', lambda argv: place.canary.write_text('dead')
        )
        return []

    monkeypatch.setitem(attacks.FAMILIES, 'checkpoints', careless)
    found = attacks.attack(0, 7, root)
    assert str(root / 'canary') in found['touched'] and not found['executed']
    assert any(entry.startswith('open') for entry in found['touched'])
