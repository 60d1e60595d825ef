"""OpenMMLab's usual commands on our configs: mim test, gridsearch, download; analysis tools."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

import mssl_plugins as mp
from helpers.forked import run_script
from helpers.paths import ROOT
from helpers.tiny import TINY
from mssl_plugins import catalogue
from mssl_plugins.commands.main import main

NAME = 'mssl-plugins-openmmlab'
KNN = """
part = dict(dataset=dict(type='mssl_plugins.Scenes', length=40, size=32, split='train', pipeline=[
    dict(type='mssl_plugins.CenterView', size=32), dict(type='mssl_plugins.PackViews')]))
custom_hooks = [dict(type='mssl_plugins.KNNHook', k=5, temperature=0.2, bank=part, test=part)]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory, image_folder):
    """A config and its run."""
    folder = tmp_path_factory.mktemp('habits')
    config = folder / 'tiny_habits.py'
    config.write_text(TINY.format(folder=str(image_folder)) + KNN)
    return config, mp.train(config, work_dir=folder / 'run')


def run(*argv, cwd, status=0, fresh=False, **env):
    """A tool's run; ``fresh`` starts Python anew, where it must find our modules by itself."""
    env = {**os.environ, 'PYTHONPATH': str(ROOT), 'MPLBACKEND': 'Agg', **env}
    done = run_script([*map(str, argv)], cwd, env, 900, fresh)
    assert done.returncode == status, done.stdout[-1500:] + done.stderr[-2500:]
    return done.stdout + done.stderr


def test_testing_a_pretraining_config_measures_what_its_hook_logged(trained, tmp_path, capsys):
    config, left = trained
    out = tmp_path / 'test.json'
    assert main(['test', str(config), str(left.checkpoint), '--out', str(out)]) == 0
    measured = json.loads(out.read_text())
    logged = [
        json.loads(line)
        for file in left.work_dir.glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
        if 'knn/top1_k5' in line
    ][-1]
    for name, value in measured.items():
        assert value == pytest.approx(logged[name], abs=1e-5), name
    assert main(['test', str(config), 'absent.pth']) == 1
    assert 'no such checkpoint: absent.pth' in capsys.readouterr().err


def test_testing_a_probe_runs_its_test_loop(trained, image_folder, tmp_path):
    """Accuracy of a classifier whose head always says class 0."""
    config = tmp_path / 'probe.py'
    config.write_text(f"""
default_scope = 'mmpretrain'
model = dict(type='ImageClassifier',
    data_preprocessor=dict(num_classes=2, mean=[120.] * 3, std=[60.] * 3),
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=32,
              loss=dict(type='CrossEntropyLoss')))
test_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(
    type='mssl_plugins.ImageFolder', data_root={str(image_folder)!r},
    pipeline=[dict(type='PackInputs')]), sampler=dict(type='DefaultSampler', shuffle=False))
test_evaluator = dict(type='Accuracy', topk=(1,))
test_cfg = dict()
""")
    model = mp.get_model(config)
    state = model.state_dict()
    state['head.fc.weight'].zero_()
    state['head.fc.bias'].copy_(torch.tensor([1.0, 0.0]))
    torch.save(dict(state_dict=state), tmp_path / 'probe.pth')
    out = tmp_path / 'test.json'
    argv = ['test', config, tmp_path / 'probe.pth', '--out', out, '--work-dir', tmp_path / 'w']
    assert main([str(arg) for arg in argv]) == 0
    assert json.loads(out.read_text()) == {'accuracy/top1': 50.0}


def test_mim_test_and_gridsearch(trained, tmp_path):
    pytest.importorskip('mim', reason='needs onedl-mim')
    config, left = trained
    site = tmp_path / 'site'  # the package as a wheel installs it
    ignored = shutil.ignore_patterns('*.pyc.*')  # that another process is writing
    shutil.copytree(ROOT / 'mssl_plugins', site / 'mssl_plugins', ignore=ignored)
    shutil.copytree(ROOT / 'tools', site / 'mssl_plugins/.mim/tools', ignore=ignored)
    shutil.copytree(ROOT / 'configs', site / 'mssl_plugins/.mim/configs', ignore=ignored)
    info = site / 'mssl_plugins_openmmlab-0.1.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {NAME}\nVersion: 0.1.0\n')
    (info / 'RECORD').write_text('mssl_plugins/__init__.py,,\n')
    path = str(site)
    text = run(
        *('-m', 'mim', 'test', NAME, config, '--checkpoint', left.checkpoint),
        *('--out', tmp_path / 'mim.json'),
        cwd=tmp_path,
        PYTHONPATH=path,
    )
    assert 'knn/top1_k5' in json.loads((tmp_path / 'mim.json').read_text())
    text = run(
        *('-m', 'mim', 'gridsearch', NAME, config, '--gpus', 0, '--work-dir', tmp_path / 'grid'),
        *('--search-args', '--optim_wrapper.optimizer.lr 0.01 0.02'),
        cwd=tmp_path,
        PYTHONPATH=path,
    )
    for rate in ('0.01', '0.02'):
        folder = tmp_path / f'grid_search_optim_wrapper.optimizer.lr_{rate}'
        assert (folder / 'epoch_1.pth').is_file() and (folder / 'report.html').is_file(), text


def test_downloads_are_unpacked_where_the_configs_read(tmp_path):
    """The script that mim runs after the download, on archives of OpenDataLab's names."""
    raw = tmp_path / 'data/OpenDataLab___ImageNet-1K/raw'
    raw.mkdir(parents=True)
    for split, names in (('train', ('n01', 'n02')), ('val', ('a.JPEG',))):
        with tarfile.open(raw / f'ILSVRC2012_img_{split}.tar', 'w') as outer:
            for name in names:
                (tmp_path / name).write_bytes(name.encode())
                if split == 'train':
                    with tarfile.open(tmp_path / f'{name}.tar', 'w') as inner:
                        inner.add(tmp_path / name, f'{name}_1.JPEG')
                    outer.add(tmp_path / f'{name}.tar', f'{name}.tar')
                else:
                    outer.add(tmp_path / name, name)
    script = ROOT / 'tools/dataset_converters/unpack.sh'
    argv = ['bash', script, tmp_path / 'data', tmp_path / 'data/imagenet']
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = sorted(
        str(p.relative_to(tmp_path / 'data')) for p in (tmp_path / 'data').rglob('*') if p.is_file()
    )
    assert found == [
        'imagenet/train/n01/n01_1.JPEG',
        'imagenet/train/n02/n02_1.JPEG',
        'imagenet/val/a.JPEG',
    ]
    again = subprocess.run(argv, capture_output=True, text=True)
    assert again.returncode == 1 and 'no archive below' in again.stderr


def test_the_dataset_index_names_what_is_there():
    import yaml

    index = yaml.safe_load((ROOT / 'dataset-index.yml').read_text())
    texts = ''.join(p.read_text() for p in (ROOT / 'configs').rglob('*.py'))
    assert index.pop('openxlab') is True
    for name, entry in index.items():
        assert set(entry) == {'dataset', 'download_root', 'data_root', 'script'}, name
        assert os.access(ROOT / entry['script'], os.X_OK)
        assert entry['data_root'] in texts


@pytest.fixture(scope='module')
def analysis():
    mmpretrain = pytest.importorskip('mmpretrain')
    tools = Path(mmpretrain.__file__).parent / '.mim/tools'
    if not tools.is_dir():
        pytest.skip('this mmpretrain was installed without its tools')
    return tools


CONFIG = 'simclr_resnet18_1xb64-coslr-8e_scenes'


def test_print_config(analysis, tmp_path):
    text = run(analysis / 'misc/print_config.py', catalogue.find(CONFIG), cwd=tmp_path, fresh=True)
    assert "type='mssl_plugins.SimCLR'" in text and '_base_' not in text


def test_get_flops(analysis, tmp_path):
    """Of the backbone: a pre-training model has no forward of images alone."""
    config = tmp_path / 'backbone.py'
    config.write_text(
        "default_scope = 'mmpretrain'\n"
        "model = dict(type='ImageClassifier', backbone=dict("
        "type='mssl_plugins.SmallImageResNet', depth=18), neck=dict(type='GlobalAveragePooling'))\n"
    )
    tool = analysis / 'analysis_tools/get_flops.py'
    text = run(tool, config, '--shape', 32, cwd=tmp_path, fresh=True)
    # a CIFAR ResNet-18 has 0.56 GFLOPs at 32 px; behind a pooled stem it is a quarter
    assert re.search(r'Params: 11\.1\d\d?M', text) and re.search(r'Flops: 0\.14\d*G', text), text


def test_vis_scheduler(analysis, tmp_path):
    """The learning rate of a config, drawn."""
    tool = analysis / 'visualization/vis_scheduler.py'
    options = ['--save-path', tmp_path / 'lr.jpg', '--dataset-size', 1000, '--ngpus', 1]
    run(tool, catalogue.find(CONFIG), *options, cwd=tmp_path)
    assert (tmp_path / 'lr.jpg').stat().st_size > 1000


def test_analyze_logs(analysis, trained, tmp_path):
    _, left = trained
    log = next(left.work_dir.glob('*/vis_data/2*.json'))
    tool = analysis / 'analysis_tools/analyze_logs.py'
    out = tmp_path / 'loss.png'
    run(tool, 'plot_curve', log, '--keys', 'loss', '--out', out, cwd=tmp_path)
    assert out.stat().st_size > 1000
    assert 'average iter time' in run(tool, 'cal_train_time', log, cwd=tmp_path)


def test_feature_extractor(trained, image_folder, tmp_path):
    """MMPretrain's inferencer reads our checkpoint and gives our features."""
    from mmpretrain import FeatureExtractor

    config, left = trained
    wrapped = tmp_path / 'extractor.py'
    backbone = "dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)"
    wrapped.write_text(f"""
default_scope = 'mmpretrain'
model = dict(type='ImageClassifier', backbone={backbone}, neck=dict(type='GlobalAveragePooling'),
             data_preprocessor=dict(mean=[120.] * 3, std=[60.] * 3, to_rgb=True))
test_dataloader = dict(dataset=dict(type='CustomDataset',
    pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')]))
""")
    out = tmp_path / 'mmpretrain'
    argv = ['export', str(left.checkpoint), str(out), '--to', 'mmpretrain']
    assert main(argv) == 0
    extractor = FeatureExtractor(str(wrapped), pretrained=str(out / 'backbone.pth'), device='cpu')
    files = sorted(map(str, image_folder.rglob('*.png')))[:3]
    theirs = np.stack([row[-1].numpy() for row in extractor(files)])
    ours = mp.extract_features(mp.get_model(config, left.checkpoint), files).features.numpy()
    assert np.allclose(theirs, ours, atol=1e-4)
