"""What several test files share."""

import gc
import json
import os
import runpy
import sys
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest

from helpers.order import LONG
from helpers.tiny import TINY

ROOT = Path(__file__).resolve().parents[1]
# Before torch is imported, here and in every process a test starts: tests
# run many tiny networks, which more threads slow down.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')


def pytest_configure(config):
    """pytest-xdist keeps the order below; its own puts files of few tests last."""
    if hasattr(config.option, 'loadscopereorder'):
        config.option.loadscopereorder = False
    if hasattr(config, 'workerinput') or not getattr(config.option, 'numprocesses', None):
        gc.disable()  # what is imported and collected stays: nothing to look through again


def pytest_collection_modifyitems(items):
    order = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


def pytest_collection_finish():
    gc.freeze()  # nor do tests look through it
    gc.enable()


@pytest.fixture(autouse=True)
def _repeatable(monkeypatch):
    """Every test draws the same numbers, whichever ran before it, and finds
    torch as it is: our tools forbid it to run a checkpoint's code."""
    monkeypatch.delenv('TORCH_FORCE_WEIGHTS_ONLY_LOAD', raising=False)
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)  # a tool run by the test before may have set more
    np.random.seed(0)


@pytest.fixture(autouse=True)
def _no_collections(monkeypatch):
    """MMEngine collects garbage at every data set it builds: half a second in
    a process as full as those of the tests."""
    monkeypatch.setattr('gc.collect', lambda *args: 0)


@pytest.fixture(scope='session')
def real_data():
    """Path of a file of real images, or a skip that says why.

    They are looked for in the folder that MSSL_DATA names, by default in
    ``../shared/data`` beside the checkout.
    """

    def find(name: str) -> Path:
        folder = Path(os.environ.get('MSSL_DATA', ROOT.parent / 'shared/data'))
        if not (folder / name).exists():
            pytest.skip(f'no {name} in {folder}: name the folder of real images with MSSL_DATA')
        return folder / name

    return find


@pytest.fixture(scope='session')
def image_folder(tmp_path_factory) -> Path:
    """24 random images of 32 px in two sub-folders."""
    from PIL import Image

    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp('images')
    for label in 'ab':
        (folder / label).mkdir()
        for i in range(12):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f'{i:02}.png')
    return folder


@pytest.fixture(scope='session')
def images(tmp_path_factory) -> Path:
    """Labeled images of three classes, 20 and 8 of each in ``train`` and ``val``."""
    from helpers.evaluation import write_images

    folder = tmp_path_factory.mktemp('labeled')
    write_images(folder / 'train', 'abc', 20)
    write_images(folder / 'val', 'abc', 8, seed=1)
    return folder


@pytest.fixture(scope='session')
def checkpoints(tmp_path_factory) -> Path:
    """``vit.pth`` and ``resnet.pth``, small, with random weights."""
    from helpers.evaluation import RESNET, VIT, save

    folder = tmp_path_factory.mktemp('checkpoints')
    save(folder / 'vit.pth', dict(VIT), classifier=True)
    save(folder / 'resnet.pth', dict(RESNET))
    return folder


@pytest.fixture
def run_tool(monkeypatch, capfd):
    """Runs a script of tools/ in this process; status and text."""

    def run(name, *argv):
        monkeypatch.setattr(sys, 'argv', [f'{name}.py', *map(str, argv)])
        with pytest.raises(SystemExit) as status:
            runpy.run_path(str(ROOT / 'tools' / f'{name}.py'), run_name='__main__')
        text = capfd.readouterr()
        return status.value.code, text.out + text.err

    return run


@pytest.fixture
def evaluate(tmp_path, monkeypatch, run_tool):
    """Runs tools/evaluate.py in this process; status, text, rows."""

    def run(*argv, out=True):
        monkeypatch.chdir(tmp_path)
        file = tmp_path / 'out.json'
        file.unlink(missing_ok=True)
        rest = ('--work-dir', tmp_path / 'work', *(('--out', file) if out else ()))
        status, text = run_tool('evaluate', *argv, *rest)
        return status, text, json.loads(file.read_text()) if file.is_file() else None

    return run


@pytest.fixture
def tiny_config(tmp_path, image_folder):
    """Writes a config that trains in a second; returns a writer.

    ``tiny_config(extra='...')`` appends lines of Python to it.
    """

    def write(extra: str = '', name: str = 'tiny') -> Path:
        path = tmp_path / f'{name}.py'
        path.write_text(TINY.format(folder=str(image_folder)) + dedent(extra))
        return path

    return write


@pytest.fixture
def train(tmp_path):
    """Trains as ``tools/train.py ARGUMENTS`` does; returns status and text."""
    from helpers.forked import Training

    return lambda *argv: Training(tmp_path, *argv).wait()


@pytest.fixture
def run_python(tmp_path):
    """Runs ``python ARGUMENTS`` as a user does, outside the checkout.

    ``fresh=True`` starts Python anew, which takes ten seconds of a slow processor: where
    starting, or what the dependencies print then, is tested.
    """
    from helpers.forked import run_script

    def run(*args, env=None, cwd=tmp_path, timeout=600, fresh=False):
        argv, env = [*map(str, args)], {**os.environ, 'PYTHONPATH': str(ROOT), **(env or {})}
        return run_script(argv, cwd, env, timeout, fresh)

    return run
