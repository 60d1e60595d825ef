"""Packing a folder into shards: what it refuses, and that it goes on where it was stopped."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from helpers.messy import photo
from helpers.paths import ROOT
from mssl_plugins import pack as module
from mssl_plugins.datasets.image_shards import ImageShards
from mssl_plugins.pack import FORMATS, pack

IMAGES = 12


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / 'mine').mkdir()
    for i in range(IMAGES):
        Image.fromarray(photo(rng, 40, 32)).save(tmp_path / 'mine' / f'{i:02}.jpg')
    return tmp_path / 'mine'


@pytest.mark.parametrize('form', FORMATS)
def test_packing_that_was_stopped_goes_on(folder, tmp_path, monkeypatch, form):
    """Whole shards stay as they are; what was half written is written anew."""
    out, read = tmp_path / 'out', []

    def stops(path):
        read.append(path)
        if len(read) == 8:
            raise KeyboardInterrupt
        return real(path)

    real = module.read_file
    monkeypatch.setattr(module, 'read_file', stops)
    with pytest.raises(KeyboardInterrupt):
        pack(str(folder), str(out), form, images=5)
    (first,) = out.glob(f'images-*.{form}')
    before = first.stat().st_mtime_ns
    shards = pack(str(folder), str(out), form, images=5)
    assert len(read) == 8 + IMAGES - 5 and first.stat().st_mtime_ns == before
    assert sorted(out.glob('.*.incomplete')) == []
    data = ImageShards(str(out))
    assert len(shards) == 3 and len(data) == IMAGES
    assert sum(data[i]['img'].std() > 0 for i in range(IMAGES)) == IMAGES


def test_a_killed_process_leaves_no_half_shard(folder, tmp_path, run_python):
    """SIGKILL while it runs; started again it ends with the same files as an undisturbed run."""
    command = [str(ROOT / 'tools/pack.py'), str(folder), '--images', '1']
    alone, killed = tmp_path / 'alone', tmp_path / 'killed'
    done = run_python(*command, alone)
    assert done.returncode == 0 and f'{IMAGES} shards in' in done.stdout, done.stderr
    assert 'images packed' in done.stdout
    process = subprocess.Popen([sys.executable, *command, str(killed)], stdout=subprocess.DEVNULL)
    while not list(killed.glob('images-*')) and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert run_python(*command, killed).returncode == 0
    names = sorted(os.listdir(alone))
    assert sorted(os.listdir(killed)) == names
    assert all((alone / name).read_bytes() == (killed / name).read_bytes() for name in names)


def test_wrong_input_gets_one_line(folder, tmp_path):
    out = tmp_path / 'out'
    pack(str(folder), str(out))
    for given, says in (
        ((folder, out, 'lmdb'), 'holds shards of other images or options: name a new folder'),
        ((folder, folder), 'is not empty: name a new folder'),
        ((out, tmp_path / 'more'), 'holds shards already'),
        ((folder, tmp_path / 'x', 'zip'), 'format'),
        ((folder, tmp_path / 'x', 'tar', 0), '--images 0: must be 1 or more'),
        ((tmp_path / 'nowhere', tmp_path / 'x'), 'no folder'),
        ((folder, tmp_path / 'x', 'tar', 5, str(tmp_path / 'none')), 'none'),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=says) as said:
            pack(*(str(a) if not isinstance(a, int) else a for a in given))
        assert '\n' not in str(said.value)
    (folder / 'new.jpg').write_bytes((folder / '00.jpg').read_bytes())
    with pytest.raises(ValueError, match='of other images'):
        pack(str(folder), str(out))


def test_long_names_do_not_fit_an_lmdb(tmp_path):
    deep = tmp_path / 'mine' / ('d' * 200) / ('e' * 200)
    deep.mkdir(parents=True)
    image = Image.fromarray(photo(np.random.default_rng(0), 40, 32))
    image.save(deep / f'{"f" * 150}.jpg')
    with pytest.raises(ValueError, match='keys of 511 bytes at most'):
        pack(str(tmp_path / 'mine'), str(tmp_path / 'out'), 'lmdb')
    pack(str(tmp_path / 'mine'), str(tmp_path / 'out2'), 'tar')
    assert ImageShards(str(tmp_path / 'out2'))[0]['img'].shape == (32, 40, 3)
