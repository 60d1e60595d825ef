"""The tool that trains photo recipes on crops and measures what label-free measures tell."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from helpers.tools import tool

CONFIG = """
data_preprocessor = dict(type='SelfSupDataPreprocessor', mean=[0] * 3, std=[255] * 3)
model = dict(type='SimCLR')
_images = dict(type='mssl_plugins.ImageFolder', data_root={folder!r}, labels=False)
_pack = dict(type='mssl_plugins.PackViews')
_views = [dict(type='mssl_plugins.Views', views=[dict(num=1, size=32)]), _pack]
_center = [dict(type='mssl_plugins.CenterView', size=32), _pack]
default_hooks = dict(monitor=dict(
    type='mssl_plugins.MonitorHook', images=dict(_images, pipeline=_center),
    views=dict(_images, pipeline=_views)))
"""


def test_pixels_are_measured_as_features_are(tmp_path, image_folder, capsys):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/config.py').write_text(CONFIG.format(folder=str(image_folder)))
    evidence = tool('photo_evidence')
    evidence.main(['pixels', str(tmp_path / 'run'), '--sides', '4'])
    *_, row = capsys.readouterr().out.splitlines()
    name, side, *cells = [cell.strip() for cell in row.strip('|').split('|')]
    assert (name, side) == ('`run`', '4 x 4')
    found = dict(zip(evidence.MEASURES, map(float, cells)))
    vectors = []
    for file in sorted(image_folder.rglob('*.png')):
        x = np.asarray(Image.open(file), np.float64) / 255
        x = x.reshape(4, 8, 4, 8, 3).mean((1, 3)).ravel()
        vectors.append(x / np.linalg.norm(x))
    near = [np.exp(-2 * ((a - b) ** 2).sum()) for a, b in combinations(vectors, 2)]
    assert found['uniformity'] == pytest.approx(np.log(np.mean(near)), abs=6e-4)
    assert 0 < found['alignment'] < 4 and 0 < found['retrieval'] < 1


def test_options_after_two_dashes_are_those_of_training(tmp_path, monkeypatch):
    evidence, called = tool('photo_evidence'), []
    said = SimpleNamespace(stdout='checked: 2.0 min an epoch')
    monkeypatch.setattr(evidence.subprocess, 'run', lambda argv, **_: called.append(argv) or said)
    monkeypatch.setattr(evidence, 'table', called.append)
    more = ['--lr', '3e-4']
    evidence.main(['train', str(tmp_path), 'photos/mst', '--minutes', '6', '--', *more])
    checked, trained, _ = called
    assert '--check' in checked and trained[trained.index('--epochs') + 1] == '3'
    assert all(argv[i : i + 2] == more for argv in called[:2] for i in [argv.index('--lr')])
