"""The Python API: does what the commands do, and says what they say."""

import inspect
import json
import subprocess
import sys
import time
import typing

import cv2
import numpy as np
import pytest
import torch
from mmengine.device import get_device
from PIL import Image

import mssl_plugins as mp
from helpers.paths import ROOT
from mssl_plugins import api, catalogue, training
from mssl_plugins.commands.main import main
from mssl_plugins.datasets.base import UnreadableImages
from mssl_plugins.errors import UserError

VISUALIZER = """
visualizer = dict(
    type='Visualizer', name='visualizer', vis_backends=[dict(type='LocalVisBackend')])
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory, image_folder):
    """A run of the API on a folder, and its config."""
    from helpers.tiny import TINY

    folder = tmp_path_factory.mktemp('api')
    config = folder / 'tiny.py'
    config.write_text(TINY.format(folder=str(image_folder)))
    return mp.train(config, work_dir=folder / 'run', epochs=1, seed=5), config


def test_importing_takes_nothing_and_listing_neither():
    code = (
        'import sys, mssl_plugins as mp; names = mp.list_models("mixmask"); '
        'heavy = {"torch", "numpy", "mmengine", "matplotlib"} & set(sys.modules); '
        'sys.exit(" ".join(heavy) or not names)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_what_the_package_names_is_there_typed_and_documented():
    assert set(mp.API) <= set(dir(mp)) and set(mp.API) <= set(mp.__all__)
    stub = (ROOT / 'mssl_plugins/__init__.pyi').read_text()
    for name in mp.API:
        member = getattr(mp, name)
        assert member is getattr(api, name) and member.__doc__
        assert f'import {name} as {name}' in stub
        if inspect.isfunction(member):
            signature = inspect.signature(member)
            for parameter in signature.parameters.values():
                assert parameter.annotation is not parameter.empty or parameter.kind.name == (
                    'VAR_KEYWORD'
                ), (name, parameter.name)
                assert f'{parameter.name} ' in member.__doc__ or f'{parameter.name}:' in (
                    member.__doc__
                ), (name, parameter.name)
            assert signature.return_annotation is not signature.empty
    with pytest.raises(AttributeError, match='get_modle'):
        mp.get_modle
    assert typing.get_type_hints(mp.list_models)['return'] == typing.List[str]


def test_list_models():
    every = mp.list_models()
    assert every == [entry['name'] for entry in catalogue.configs()]
    some = mp.list_models('mst*')
    assert some == [name for name in every if name.startswith('mst')] and 0 < len(some) < 99
    assert mp.list_models('scenes') == [name for name in every if 'scenes' in name]
    with pytest.raises(ValueError, match='did you mean mst_vit'):
        mp.list_models('mst_vit-z16*')


def test_list_takes_a_pattern(capsys):
    assert main(['list', 'mst*photos']) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == mp.list_models('mst*photos')


def test_get_model_of_a_config_and_of_a_checkpoint(trained):
    run, config = trained
    weights = torch.load(run.checkpoint, weights_only=True)['state_dict']
    for model in (
        mp.get_model(config, run.checkpoint),
        mp.get_model(checkpoint=run.checkpoint),
        mp.get_model(str(config), run.checkpoint, branch='student'),
    ):
        own = model.backbone.state_dict()
        assert torch.equal(own['layer1.0.conv1.weight'], weights['backbone.layer1.0.conv1.weight'])
    teacher = mp.get_model(config, run.checkpoint, branch='teacher').backbone.state_dict()
    key = 'layer1.0.conv1.weight'
    assert torch.equal(teacher[key], weights[f'encoder_k.module.0.{key}'])
    assert not torch.equal(teacher[key], weights[f'backbone.{key}'])
    a, b = (mp.get_model(config, seed=seed).backbone.state_dict()[key] for seed in (1, 2))
    assert not torch.equal(a, b)
    assert torch.equal(a, mp.get_model(config, seed=1).backbone.state_dict()[key])
    assert mp.get_config(config).model.type == 'mssl_plugins.MoCo'


def test_features_of_a_folder_a_list_and_a_dataset_agree(trained, image_folder, tmp_path, capsys):
    run, config = trained
    model = mp.get_model(config, run.checkpoint)
    found = mp.extract_features(model, image_folder)
    assert found.features.shape == (24, 32) and found.features.dtype == torch.float32
    assert found.labels.tolist() == [0] * 12 + [1] * 12
    files = found.paths
    assert all(path.endswith('.png') for path in files)
    arrays = [cv2.imread(path)[..., ::-1] for path in files]
    mixed = [files[0], Image.open(files[1]), np.ascontiguousarray(arrays[2])]
    listed = mp.extract_features(model, mixed, batch_size=2)
    assert torch.allclose(listed.features, found.features[:3], atol=1e-5)
    assert listed.labels.tolist() == [-1] * 3 and listed.paths == [files[0], '', '']
    # independently: the image, normalized, through the backbone, averaged
    x = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        own = model.eval().backbone((x - 120) / 60)[-1].mean((2, 3))
    assert torch.allclose(found.features, own, atol=1e-4)
    # the command writes the same
    out = tmp_path / 'features.npz'
    argv = ['extract', str(run.checkpoint), str(out), '--config', str(config)]
    assert main([*argv, '--data', str(image_folder), '--pool', 'auto']) == 0
    written = np.load(out)
    assert np.allclose(written['features'], found.features, atol=1e-6)
    assert written['paths'].tolist() == files


def test_evaluate_and_its_command_give_the_same_rows(trained, image_folder, tmp_path, capsys):
    run, _ = trained
    data = tmp_path / 'data'
    for part in ('train', 'val'):
        (data / part).parent.mkdir(exist_ok=True)
        (data / part).symlink_to(image_folder)
    said = []
    rows = mp.evaluate(
        run.checkpoint, data, 'knn', tmp_path / 'kept', ks=[1, 5], say=said.append, batch_size=8
    )
    assert [row['setting'] for row in rows] == ['k=1, T=0.07', 'k=5, T=0.07']
    assert rows[0]['value'] == 100  # an image is its own nearest one
    assert len(said) == 1 and '24 training and 24 test images of 2 classes' in said[0]
    argv = ['evaluate', run.checkpoint, '--data', data, '--protocols', 'knn', '--k', 1, 5]
    argv += ['--work-dir', tmp_path / 'again', '--out', tmp_path / 'rows.json']
    assert main([str(arg) for arg in argv]) == 0
    again = json.loads((tmp_path / 'rows.json').read_text())
    assert [(r['setting'], r['value']) for r in again] == [(r['setting'], r['value']) for r in rows]


def test_training_says_what_it_left_and_goes_on(trained, tmp_path, monkeypatch):
    run, config = trained
    assert run.checkpoint.name == 'epoch_1.pth' and run.checkpoint.parent == run.work_dir
    with pytest.raises(UserError, match='holds a run'):
        mp.train(config, work_dir=run.work_dir)
    asked = []  # on a CPU, memory that a step frees is kept for the next one
    monkeypatch.setattr(training, 'keep_freed_memory', lambda device: asked.append(device.type))
    longer = mp.train(config, work_dir=run.work_dir, epochs=2, resume=True)
    assert asked == [get_device()]
    assert longer.checkpoint.name == 'epoch_2.pth'


@pytest.mark.parametrize('visualizer', ['', VISUALIZER], ids=['default', 'named'])
def test_runs_of_a_process_keep_their_logs_apart(visualizer, tiny_config, tmp_path, monkeypatch):
    """MMEngine knows a run by its name and its second: here every second is the same.

    A visualizer with a name, as of every shipped config, it knows by that alone.
    """
    from mmengine.runner import runner as module

    class Clock:
        def __getattr__(self, name):
            return getattr(time, name)

        def time(self):
            return 1.7e9

    monkeypatch.setattr(module, 'time', Clock())
    config = tiny_config(visualizer)
    runs = [mp.train(config, work_dir=tmp_path / name, epochs=1) for name in 'ab']
    folders = {path.name for run in runs for path in run.work_dir.glob('2*')}
    assert len(folders) == 1  # the clock did stand
    for run in runs:
        (file,) = run.work_dir.glob('2*/vis_data/scalars.json')
        steps = [json.loads(line)['step'] for line in file.read_text().splitlines()]
        assert steps == [1, 2, 3], run.work_dir
        assert len(list(run.work_dir.glob('2*/*.log'))) == 1


MISTAKES = [
    (lambda c: mp.get_config('mst_vit_s16'), ['train', 'mst_vit_s16']),
    (lambda c: mp.train('photos/mocov2'), ['train', 'photos/mocov2']),
    (
        lambda c: mp.train(c, options={'model.hed.temperature': 1}),
        ['train', '{c}', '--cfg-options', 'model.hed.temperature=1'],
    ),
    (
        lambda c: mp.train(c, options={'model.type': 'mssl_plugins.MoCoo'}),
        ['train', '{c}', '--cfg-options', 'model.type=mssl_plugins.MoCoo'],
    ),
    (lambda c: mp.train(c, data='/no/such/folder'), ['train', '{c}', '--data', '/no/such/folder']),
    (lambda c: mp.train(c, channels=4), ['train', '{c}', '--channels', '4']),
    (lambda c: mp.train(c, bits=16), ['train', '{c}', '--bits', '16']),
    (lambda c: mp.train(c, allow_missing=True), ['train', '{c}', '--allow-missing']),
    (lambda c: mp.evaluate('no.pth', 'data'), ['evaluate', 'no.pth', '--data', 'data']),
]


@pytest.mark.parametrize('call, argv', MISTAKES, ids=lambda x: x[1] if isinstance(x, list) else '')
def test_mistakes_are_the_commands_lines(call, argv, tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config = str(tiny_config())
    status = main([arg.format(c=config) for arg in argv])
    line = capsys.readouterr().err.splitlines()[-1]
    assert status in (1, 2)  # 2: a mistake in the config itself
    with pytest.raises((UserError, ValueError, TypeError, FileNotFoundError)) as raised:
        call(config)
    assert line == f'error: {raised.value}'


def test_mistakes_of_the_api_alone(trained, tmp_path):
    run, config = trained
    model = mp.get_model(config)
    with pytest.raises(UserError, match='give the name of a config, a checkpoint, or both'):
        mp.get_model()
    with pytest.raises(FileNotFoundError, match='no such checkpoint: no.pth'):
        mp.get_model(config, 'no.pth')
    with pytest.raises(FileNotFoundError, match='no such folder: /no/such'):
        mp.extract_features(model, '/no/such')
    with pytest.raises(TypeError, match=r'image 1 is an array of float64 and shape \(4, 4, 3\)'):
        mp.extract_features(model, [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3))])
    with pytest.raises(TypeError, match='image 0 is a int'):
        mp.extract_features(model, [1])
    with pytest.raises(ValueError, match='no images were given'):
        mp.extract_features(model, [])
    (tmp_path / 'broken.png').write_bytes(b'no image')
    good = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(UnreadableImages, match='broken.png'):
        mp.extract_features(model, [good, tmp_path / 'broken.png'])
