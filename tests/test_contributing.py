"""CONTRIBUTING.md's worked example, run as a reader would, outside the repository."""

import re

import pytest

from helpers.paths import ROOT


@pytest.fixture(scope='module')
def example(tmp_path_factory):
    """A folder with the page's three files."""
    folder = tmp_path_factory.mktemp('a new method')
    page = (ROOT / 'CONTRIBUTING.md').read_text()
    blocks = re.findall(r'```python\n# (\w+\.py)\n(.*?)```', page, re.S)
    assert len(blocks) == 3
    for name, text in blocks:
        (folder / name).write_text(text)
    return folder


def test_the_example_trains_by_name(example, run_python):
    command = re.search(
        r'```bash\npython (-m mssl_plugins train .*)\n```', (ROOT / 'CONTRIBUTING.md').read_text()
    )[1]
    env = {'PYTHONPATH': f'{ROOT}:{example}'}
    done = run_python(*command.split(), cwd=example, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    run = example / 'work_dirs/barlow_twins_resnet18_scenes'
    assert (run / 'epoch_1.pth').is_file()


def test_the_examples_test_passes(example, run_python):
    env = {'PYTHONPATH': f'{ROOT}:{example}'}
    done = run_python(
        '-m', 'pytest', '-q', '-p', 'no:cacheprovider', 'test_barlow_twins.py', cwd=example, env=env
    )
    assert done.returncode == 0 and '1 passed' in done.stdout, done.stdout[-2000:]
