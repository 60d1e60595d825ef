"""The command line: what it lists, and what it says of mistakes."""

import json
import os
import subprocess
import sys

import pytest

from helpers.paths import ROOT
from mssl_plugins import catalogue


def test_list_as_json_and_as_table(run_python):
    done = run_python('-m', 'mssl_plugins', 'list', '--json', '--method', 'mixmask', fresh=True)
    found = json.loads(done.stdout)
    assert found and all(list(e) == ['name', 'path', *catalogue.KEYS] for e in found)
    assert {e['method'] for e in found} == {'mixmask'}
    table = run_python('-m', 'mssl_plugins', 'list', fresh=True).stdout.splitlines()
    assert len(table) == 1 + len(catalogue.configs())
    assert all(any(line.startswith(e['name']) for line in table) for e in found)


@pytest.mark.parametrize('arguments', [['list'], ['list', '--json']])
def test_a_reader_that_leaves_is_no_error(arguments):
    """`mssl_plugins list | head -1` ends without a word, whenever the text is written out."""
    done = subprocess.Popen(
        [sys.executable, '-m', 'mssl_plugins', *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    done.stdout.close()
    assert (done.stderr.read(), done.wait()) == (b'', 141)


def test_listing_needs_no_openmmlab(run_python, tmp_path):
    for name in ('mmengine', 'mmcv', 'mmpretrain', 'torch'):
        (tmp_path / f'{name}.py').write_text(
            f'raise ModuleNotFoundError("no {name}", name="{name}")'
        )
    env = {'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'}
    assert run_python('-m', 'mssl_plugins', 'list', env=env, fresh=True).returncode == 0


def test_help_names_every_target_and_generator(capsys):
    from mssl_plugins.commands.main import main
    from mssl_plugins.export import TARGETS
    from mssl_plugins.segments.generators import GENERATORS

    for command, names in (('export', TARGETS), ('make_segments', GENERATORS)):
        with pytest.raises(SystemExit):
            main([command, '--help'])
        assert ', '.join(names) in ' '.join(capsys.readouterr().out.split())


@pytest.mark.parametrize('argv', [['x'], ['x', '--cfg-options', 'seed=1']], ids=len)
def test_without_openmmlab_one_line_says_what_to_install(argv, tmp_path):
    """An interpreter that sees this library alone."""
    done = subprocess.run(
        [
            sys.executable,
            '-S',
            '-c',
            'import sys; sys.path.insert(0, sys.argv[1]); import mssl_plugins;'
            'from mssl_plugins.commands.train import main; sys.exit(main(sys.argv[2:]))',
            str(ROOT),
            *argv,
        ],
        text=True,
        capture_output=True,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != 'PYTHONPATH'},
    )
    assert done.returncode == 1
    assert done.stderr == (
        "error: torch is not installed: pip install 'mssl-plugins-openmmlab[onedl]'\n"
    )


@pytest.mark.parametrize(
    'argv, status, said',
    [
        (['trian'], 2, "did you mean 'train'"),
        (['list', '--method', 'mixmsk'], 1, "did you mean 'mixmask'"),
        (['train', 'no_such_config'], 1, "no config 'no_such_config'"),
    ],
)
def test_mistakes_are_one_line(argv, status, said, capsys):
    from mssl_plugins.commands.main import main

    assert main(argv) == status
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith('error: ')
    assert said in lines[0]
