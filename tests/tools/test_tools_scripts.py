"""The shell scripts: they parse, and say in one line what is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = [*sorted((ROOT / 'tools').glob('*.sh')), ROOT / '.ci' / 'run']


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda p: p.name)
def test_parses(script):
    subprocess.run(['bash', '-n', str(script)], check=True)


def shell(commands: str, env=None, root: Path = ROOT):
    """Runs commands after tools/_env.sh."""
    return subprocess.run(
        ['bash', '-uc', f'. "{root}/tools/_env.sh"; {commands}'],
        text=True,
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=600,
    )


def one_line(done) -> str:
    """The error of a failed script, which is one line."""
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith('error: '), done.stderr
    return lines[0]


@pytest.fixture
def checkout(tmp_path):
    """What the scripts read, in a path with spaces."""
    root = tmp_path / 'a path with spaces'
    for name in ('tools', 'constraints'):
        # other tests write compiled modules there meanwhile
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in ('pyproject.toml', 'setup.py'):
        shutil.copy(ROOT / name, root)
    return root


def test_python_is_found_and_tried(tmp_path):
    fine = shell('find_python', {'PYTHON': ''})
    assert fine.returncode == 0 and 'python' in fine.stdout
    # a version manager's stand-in exists and fails
    for name in ('python3', 'python3.12', 'python3.11', 'python3.10', 'python'):
        (tmp_path / name).write_text('#!/bin/sh\nexit 127\n')
        (tmp_path / name).chmod(0o755)
    for name in ('dirname',):
        (tmp_path / name).symlink_to(shutil.which(name))
    bash = subprocess.run(
        [shutil.which('bash'), '-c', f'. "{ROOT}/tools/_env.sh"; find_python'],
        env={'PATH': str(tmp_path), 'HOME': str(tmp_path)},
        text=True,
        capture_output=True,
    )
    assert 'no Python 3.10, 3.11 or 3.12' in one_line(bash)
    named = shell('find_python', {'PYTHON': '/no/such/python'})
    assert 'PYTHON=/no/such/python' in one_line(named)


def test_pins_are_read():
    done = shell('pinned torch; pinned torchvision; pinned onedl-mmcv')
    assert done.stdout.split() == ['2.11.0', '0.26.0', '2.3.6']


def test_missing_disk_compiler_and_headers(checkout):
    assert 'GiB' in one_line(shell('need_disk 999999 "$VENV"', root=checkout))
    assert shell('need_disk 0 "$VENV/not/there"', root=checkout).returncode == 0
    said = one_line(shell('need_compiler python3', {'CXX': 'no-such-c++'}))
    assert 'no C++ compiler' in said


def test_installation_is_remembered_until_something_changes(checkout):
    """In a real, empty environment."""
    venv = checkout / '.venv'
    subprocess.run(['python3', '-m', 'venv', '--without-pip', str(venv)], check=True)
    state = 'installed test && echo yes || echo no'
    env = {'MSSL_VENV': ''}
    assert shell(state, env, checkout).stdout == 'no\n'
    assert shell(f'done_installing test; {state}', env, checkout).stdout == 'yes\n'
    with open(checkout / 'constraints' / 'onedl.txt', 'a') as f:
        f.write('# another version\n')
    assert shell(state, env, checkout).stdout == 'no\n'


def test_a_relative_environment_stays_where_it_is():
    done = shell('cd /; echo "$VENV"', {'MSSL_VENV': 'my env'})
    assert done.stdout == f'{os.getcwd()}/my env\n'
    assert shell('echo "$VENV"', {'MSSL_VENV': '/at/the/root'}).stdout == '/at/the/root\n'


def test_failing_pip_is_one_line(tmp_path, checkout):
    venv = tmp_path / 'venv'
    subprocess.run(['python3', '-m', 'venv', str(venv)], check=True)
    done = shell(
        'pip_install --no-index --find-links "$ROOT" no-such-thing-at-all',
        {'MSSL_VENV': str(venv)},
        checkout,
    )
    said = one_line(done)
    assert 'no-such-thing-at-all' in said and 'install.log' in said


def test_ci_runs_the_tests_and_nothing_else():
    commands = [
        line
        for line in (ROOT / '.ci' / 'run').read_text().splitlines()
        if line and not line.startswith('#')
    ]
    assert len(commands) == 1 and 'tools/test.sh' in commands[0]


@pytest.mark.parametrize('script, word', [('dist_train.sh', 'usage'), ('slurm_train.sh', 'usage')])
def test_launchers_say_how_to_use_them(script, word):
    done = subprocess.run(['bash', str(ROOT / 'tools' / script)], text=True, capture_output=True)
    assert done.returncode == 2 and word in done.stderr


def test_slurm_script_without_slurm():
    if shutil.which('srun'):
        pytest.skip('there is a Slurm here')
    done = subprocess.run(
        ['bash', str(ROOT / 'tools/slurm_train.sh'), 'part', 'job', 'config'],
        text=True,
        capture_output=True,
    )
    assert 'srun not found' in one_line(done)
