"""``knn`` and ``extract``: of any checkpoint, as ``evaluate`` takes and sees it."""

import errno
import json
import re
import runpy
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS

from helpers.paths import ROOT
from mssl_plugins.evaluation import knn_accuracy
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData
from mssl_plugins.evaluation.features import extract_features

CONFIG = """
default_scope = 'mmpretrain'
pipeline = [dict(type='mssl_plugins.CenterView', size=16),
            dict(type='mssl_plugins.PackViews')]
model = dict(
    type='SimCLR',
    data_preprocessor=dict(type='SelfSupDataPreprocessor',
                           mean=[120.] * 3, std=[60.] * 3),
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
    neck=dict(type='NonLinearNeck', in_channels=32, hid_channels=8,
              out_channels=8, num_layers=2, norm_cfg=dict(type='BN1d')),
    head=dict(type='ContrastiveHead', temperature=0.5,
              loss=dict(type='CrossEntropyLoss')))
custom_hooks = [dict(
    type='mssl_plugins.KNNHook', k=5,
    bank=dict(batch_size=4, dataset=dict(
        type='mssl_plugins.ImageFolder', data_root='{data}/train',
        pipeline=pipeline)),
    test=dict(batch_size=4, dataset=dict(
        type='mssl_plugins.ImageFolder', data_root='{data}/val',
        pipeline=pipeline)))]
"""


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A config, images of two classes, a checkpoint that holds the config and one that does not."""
    folder = tmp_path_factory.mktemp('a project')
    rng = np.random.default_rng(0)
    for part, length in (('train', 12), ('val', 6)):
        for i in range(length):
            place = folder / 'data' / part / ('above', 'left')[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 120, (16, 16, 3), dtype=np.uint8)
            image[(slice(8), slice(None), slice(8))[i % 2 :][:2]] += 120
            cv2.imwrite(str(place / f'{i}.png'), image)
    config = folder / 'config.py'
    config.write_text(CONFIG.format(data=folder / 'data'))
    cfg = Config.fromfile(config)
    torch.manual_seed(1)
    model = MODELS.build(dict(cfg.model, _scope_='mmpretrain'))
    state = model.state_dict()
    torch.save(dict(state_dict=state), folder / 'bare.pth')
    torch.save(dict(state_dict=state, meta=dict(cfg=cfg.pretty_text)), folder / 'a.pth')
    return folder


@pytest.fixture
def tool(monkeypatch, capsys):
    """Runs a tool; gives its output, or the error where ``ok`` is False."""

    def run_tool(name, *args, ok=True):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / 'tools' / name), run_name='__main__')
        out, error = capsys.readouterr()
        assert bool(stop.value.code) != ok, error
        return out if ok else error

    return run_tool


def top1(out, k=1):
    return float(out.split(f'knn/top1_k{k}')[1].split()[0])


def measures(out):
    """What is printed after the time."""
    return out.split(' s\n')[-1]


def test_a_checkpoint_says_all_and_a_config_says_the_same(project, tmp_path, tool):
    json_at = tmp_path / 'new' / 'knn.json'
    out = tool('knn.py', project / 'a.pth', '--k', 1, 5, '--json', json_at)
    assert 'student backbone, ResNet' in out
    result = json.loads(json_at.read_text())
    assert (result['keys'], result['queries'], result['dimensions']) == (12, 6, 32)
    given = tool('knn.py', project / 'bare.pth', '--k', 1, 5, '--config', project / 'config.py')
    assert 'tensors loaded' in given and measures(given) == measures(out)
    sets = {}
    for split in ('train', 'test'):
        tool('extract.py', project / 'a.pth', tmp_path / f'{split}.npz', '--split', split)
        found = np.load(tmp_path / f'{split}.npz')
        assert [Path(p).parent.name for p in found['paths']] == [
            ('above', 'left')[i] for i in found['labels']
        ]
        sets[split] = [torch.tensor(found[k]) for k in ('features', 'labels')]
    assert sets['train'][0].shape == (12, 32)
    expected = knn_accuracy(*sets['test'], *sets['train'], ks=[1, 5])
    assert result['top1'] == {str(k): v for k, v in expected.items()}
    assert not list(tmp_path.glob('.*'))


def test_extract_never_leaves_half_a_file(project, tmp_path, tool, monkeypatch):
    import mssl_plugins.files as files

    out = tmp_path / 'a.npz'
    tool('extract.py', project / 'a.pth', out)
    before = out.read_bytes()

    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(files.os, 'fsync', full)
    error = tool('extract.py', project / 'a.pth', out, '--split', 'train', ok=False)
    assert 'No space left' in error
    assert out.read_bytes() == before


def test_baselines_and_other_folders(project, tmp_path, tool):
    config, data = ('--config', project / 'config.py'), project / 'data'
    pixels = tool('knn.py', 'pixels', *config, '--k', 1)
    assert '768 dimensions' in pixels and top1(pixels) == 1
    first = tool('knn.py', 'random', *config, '--k', 1, '--seed', 3)
    again = tool(
        'knn.py', 'random', *config, '--k', 1, '--seed', 3, '--data', data, '--batch-size', 3
    )
    assert 'random weights' in first and measures(first) == measures(again)
    small = tool('knn.py', 'pixels', *config, '--k', 1, '--size', 8)
    assert '192 dimensions' in small
    flat = tmp_path / 'flat'  # images without labels
    shutil.copytree(data / 'val' / 'left', flat)
    for weights in (('random', *config), (project / 'a.pth',)):
        tool(
            'extract.py',
            weights[0],
            tmp_path / 'a.npz',
            *weights[1:],
            '--data',
            flat,
            '--pool',
            'last',
            '--bf16',
        )
        found = np.load(tmp_path / 'a.npz')
        assert found['features'].shape == (3, 32)
        assert (found['labels'] == -1).all() and len(set(found['paths'])) == 3


@pytest.mark.parametrize('size', [(), ('--size', 80), ('--size', 80, '--resize', 128)])
def test_a_folder_is_seen_as_evaluate_sees_it(tmp_path, tool, size):
    """A checkpoint of another library, large images: the same k-NN, the same features."""
    timm = pytest.importorskip('timm')
    rng = np.random.default_rng(0)
    for part, count in (('train', 6), ('val', 4)):
        for i in range(2 * count):
            place = tmp_path / 'data' / part / 'ab'[i % 2]
            place.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
            cv2.imwrite(str(place / f'{i}.png'), cv2.resize(coarse, (200, 150 + i)))
    torch.manual_seed(0)
    net = timm.create_model('vit_tiny_patch16_224', img_size=160)
    torch.save(net.state_dict(), tmp_path / 'timm.pth')
    given = (tmp_path / 'timm.pth', '--data', tmp_path / 'data', *size, '--k', 1, 3)
    ours = tool('knn.py', *given)
    kept = ('--work-dir', tmp_path / 'w', '--out', tmp_path / 'rows.json')
    tool('evaluate.py', *given, '--protocols', 'knn', *kept)
    rows = json.loads((tmp_path / 'rows.json').read_text())
    values = [row['value'] for row in rows]
    assert [top1(ours, k) * 100 for k in (1, 3)] == pytest.approx(values, abs=0.01)

    tool('extract.py', given[0], tmp_path / 'a.npz', '--data', tmp_path / 'data/val', *size)
    found = FrozenBackbone(str(tmp_path / 'timm.pth'))
    sides = [int(word) for word in size[1::2]]
    data = EvaluationData(str(tmp_path / 'data'), tmp_path, *sides, native=found.native)
    assert data.size == (80 if size else 160)
    features, labels = extract_features(found.model, data.center('test'))
    extracted = np.load(tmp_path / 'a.npz')
    assert extracted['labels'].tolist() == labels.tolist()
    assert np.array_equal(extracted['features'], features.numpy())


def test_extract_leaves_out_what_cannot_be_read(project, tmp_path, tool):
    """And never gives another image's features under a damaged one's name."""
    folder = tmp_path / 'mine'
    shutil.copytree(project / 'data/val/left', folder)
    tool('extract.py', project / 'a.pth', tmp_path / 'whole.npz', '--data', folder)
    (folder / '0 cut.png').write_bytes((project / 'data/val/left/1.png').read_bytes()[:60])
    given = ('extract.py', project / 'a.pth', tmp_path / 'rest.npz', '--data', folder)
    error = tool(*given, ok=False)
    assert '1 of 4 images are unreadable' in error and '0 cut.png' in error
    assert '--max-bad' in error and not (tmp_path / 'rest.npz').exists()
    tool(*given, '--max-bad', 0.3, '--workers', 1)
    whole, rest = (np.load(tmp_path / f'{name}.npz') for name in ('whole', 'rest'))
    assert rest['paths'].tolist() == whole['paths'].tolist()
    assert np.allclose(rest['features'], whole['features'], atol=1e-6)
    assert len(rest['features']) == len(rest['labels']) == 3


def test_wrong_input_is_one_line(project, tmp_path, tool):
    config, good = ('--config', project / 'config.py'), project / 'a.pth'
    other = tmp_path / 'other.pth'
    torch.save({'backbone.x.weight': torch.ones(2)}, other)
    bare = tmp_path / 'bare.py'
    bare.write_text("model = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)\n")
    shutil.copytree(project / 'data', tmp_path / 'mixed')
    (tmp_path / 'mixed/val/left').rename(tmp_path / 'mixed/val/right')
    for args, message in (
        ((good, '--k', 13), '--k 13 is larger than the bank of 12'),
        ((tmp_path / 'none.pth', '--k', 1), 'no such checkpoint'),
        ((tmp_path / 'none.pth', *config, '--k', 1), 'no such checkpoint'),
        ((good, '--config', tmp_path / 'none.py'), 'none'),
        (('random', '--data', project / 'data'), "'random' needs --config"),
        (('pixels',), "'pixels' needs --config"),
        ((other, *config, '--k', 1), 'another architecture.*conv1.weight'),
        ((good, *config, '--k', 1, '--branch', 'teacher'), 'no teacher'),
        ((good, '--k', 1, '--branch', 'teacher'), 'no teacher'),
        ((good, '--config', bare), 'give a folder of images'),
        ((project / 'bare.pth', '--config', bare, '--resize', 20, '--k', 1), '--resize needs'),
        ((good, '--data', tmp_path), 'nothing|no '),
        ((good, '--data', tmp_path / 'mixed'), 'in one of them only: left, right'),
        ((good, '--data', project / 'data', '--size', 16, '--resize', 8), '8 is smaller than'),
    ):
        error = tool('knn.py', *args, '--json', tmp_path / 'x.json', ok=False)
        assert len(error.strip().splitlines()) == 1, error
        assert re.search(f'error: .*{message}', error), error
    assert 'must end in .npz' in tool('extract.py', good, tmp_path / 'x.npy', ok=False)
    assert not list(tmp_path.glob('x.*'))


def test_a_checkpoint_names_no_code(project, tmp_path, tool):
    """A ``type`` may be any class that can be imported: a checkpoint's own is not."""
    checkpoint = torch.load(project / 'a.pth', weights_only=True)
    text = checkpoint['meta']['cfg']
    made = tmp_path / 'made'
    for old, new in (
        ("type='mssl_plugins.CenterView'", f"type='subprocess.Popen', args=['touch', '{made}']"),
        ("type='mssl_plugins.PackViews'", "type='mssl_plugins.registry.Registry', name='a'"),
    ):
        assert old in text
        checkpoint['meta']['cfg'] = text.replace(old, new)
        torch.save(checkpoint, tmp_path / 'bad.pth')
        error = tool('knn.py', tmp_path / 'bad.pth', '--k', 1, ok=False)
        assert re.search('own config names a .*--config', error), error
        tool('knn.py', tmp_path / 'bad.pth', '--k', 1, '--data', project / 'data')
    assert not made.exists()
