"""The package as it is installed: normal and editable, by pip and by mim."""

import importlib.metadata
import json
import os
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.forked import run_script

ROOT = Path(__file__).resolve().parents[1]
NAME = 'mssl-plugins-openmmlab'
TREE = (
    'mssl_plugins',
    'configs',
    'tools',
    'pyproject.toml',
    'setup.py',
    'README.md',
    'LICENSE',
    'model-index.yml',
    'dataset-index.yml',
)


def test_nothing_in_the_tree_hides_configs_from_mim():
    """mim wants a config's file name exactly once in the checkout."""
    assert not (ROOT / 'mssl_plugins' / '.mim').exists()
    assert not (ROOT / 'build').exists()


def test_name_sorts_after_the_module():
    folder = f'{NAME.replace("-", "_")}-0.1.0.dist-info/'
    assert sorted([folder, 'mssl_plugins/'])[0] == 'mssl_plugins/'


@pytest.fixture(scope='module')
def source(tmp_path_factory, image_folder) -> Path:
    """A checkout in a path with spaces, with a config that trains at once."""
    from helpers.tiny import TINY

    if int(importlib.metadata.version('setuptools').split('.')[0]) < 77:
        pytest.skip('building needs setuptools 77 or later')
    root = tmp_path_factory.mktemp('a check out')
    for name in TREE:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, root / name, ignore=shutil.ignore_patterns('__pycache__'))
        elif path.exists():
            shutil.copy(path, root)
    (root / 'configs/mixmask/tiny_for_test.py').write_text(
        TINY.format(folder=str(image_folder)) + '\ntrain_cfg.update(max_epochs=1)\n'
    )
    return root


@pytest.fixture(scope='module', params=['normal', 'editable'])
def python(request, source, tmp_path_factory) -> Path:
    """An environment over the present one, with the package installed."""
    folder = tmp_path_factory.mktemp(request.param)
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(folder / 'env')], check=True)
    python = folder / 'env/bin/python'
    inner = next((folder / 'env/lib').glob('python*')) / 'site-packages'
    (inner / 'below.pth').write_text(
        '\n'.join(p for p in [*site.getsitepackages(), *sys.path] if p.endswith('site-packages'))
    )
    done = run(
        python,
        '-m',
        'pip',
        'install',
        '--no-deps',
        '--no-index',
        '--no-build-isolation',
        '--ignore-installed',
        *(['-e'] if request.param == 'editable' else []),
        source,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return python


def run(python, *args, cwd=None):
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    env['PATH'] = f'{Path(python).parent}{os.pathsep}{env["PATH"]}'
    return subprocess.run(
        [str(python), *map(str, args)],
        text=True,
        capture_output=True,
        cwd=cwd or Path(python).parent,
        env=env,
        timeout=900,
    )


def test_installation(python, source):
    """The package imported is the one installed, with all its configs."""
    wanted = {p.name for p in (source / 'configs').rglob('*.py') if '_base_' not in p.parts}
    done = run(python, '-m', 'mssl_plugins', 'list', '--json')
    found = json.loads(done.stdout)
    assert {Path(e['path']).name for e in found} == wanted
    inside = 'site-packages/mssl_plugins/.mim/configs' in found[0]['path']
    assert inside == ('normal' in str(python))
    # and building left nothing behind
    assert {p.name for p in source.iterdir()} <= set(TREE)
    said = run(
        python,
        '-c',
        f'import importlib.metadata as m; print(m.metadata("{NAME}")["License-Expression"])',
    ).stdout
    assert 'Apache-2.0' in said


def test_mim_searches_the_installed_package(python, tmp_path):
    """`mim search` reads `.mim/model-index.yml`, or the checkout's of an editable install."""
    pytest.importorskip('mim', reason='needs onedl-mim')
    model = 'mst_vit-s16_16xb64-coslr-300e_in1k'
    done = run(
        python, '-m', 'mim', 'search', NAME, '--config', model, '--json', tmp_path / 'found.json'
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / 'found.json').read_text())
    assert found['config'] == {model: f'configs/mst/{model}.py'}  # columns of a table
    assert found['epochs'] == {model: 300}


def test_train_by_name(python, source, tmp_path):
    """`python -m mssl_plugins train NAME` and `mim train DISTRIBUTION NAME`.

    In the checkout itself: what the first run leaves there must not hide the
    config from the second.
    """
    done = run(python, '-m', 'mssl_plugins', 'train', 'tiny_for_test', cwd=source)
    assert done.returncode == 0, done.stderr[-2000:]
    run_dir = source / 'work_dirs' / 'tiny_for_test'
    assert (run_dir / 'epoch_1.pth').is_file()
    pytest.importorskip('mim', reason='needs onedl-mim')
    done = run(
        python,
        '-m',
        'mim',
        'train',
        NAME,
        'tiny_for_test.py',
        '--work-dir',
        tmp_path / 'by name',
        cwd=source,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    assert (tmp_path / 'by name' / 'epoch_1.pth').is_file()
    shutil.rmtree(source / 'work_dirs')


def test_mim_train_mmpretrain(source, tmp_path):
    """The documented way: mmpretrain's own train.py and a path of ours."""
    pytest.importorskip('mim', reason='needs onedl-mim')
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    argv = ['-m', 'mim', 'train', 'mmpretrain', str(source / 'configs/mixmask/tiny_for_test.py')]
    argv += ['--work-dir', str(tmp_path / 'run'), '--no-persistent-workers']
    done = run_script(argv, tmp_path, env, 900)  # what mim starts, starts anew
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    assert (tmp_path / 'run' / 'epoch_1.pth').is_file()
