"""Every Python block of the pages runs; what is a file of its own has a test of its own.

A block whose first line is ``# NAME.py`` is a file that tests/test_contributing.py or another
test runs together with its neighbors; one behind ``<!-- needs ... -->`` needs what that says.
Parts of a config are executed, and their types are looked up. Small ones take the place of
images and checkpoints that a block names.
"""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from PIL import Image

import mssl_plugins as mp
from helpers.paths import ROOT
from mssl_plugins import registry
from mssl_plugins.catalogue import find
from mssl_plugins.config import each_dict

REGISTRIES = [value for value in vars(registry).values() if isinstance(value, Registry)]
SMALL = dict(epochs=1, size=32, batch_size=8)
TEACHER = 'dino_vit-mini_1xb64-coslr-6e_scenes'


def blocks():
    """(page, text) of each block that no other test runs."""
    pages = [ROOT / 'README.md', ROOT / 'CONTRIBUTING.md']
    for folder in ('configs', 'docs'):
        pages += sorted((ROOT / folder).rglob('*.md'))
    for page in pages:
        for mark, text in re.findall(
            r'(<!-- needs .*? -->\n)?```python\n(.*?)```', page.read_text(), re.S
        ):
            if not mark and not re.match(r'# [\w/]+\.py\n', text):
                name = f'{page.relative_to(ROOT)}: {text.strip().splitlines()[0][:40]}'
                yield pytest.param(text, id=name)


def make_images(folder: Path, count: int = 80) -> None:
    """Random images of 48 px."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f'{i}.png')


def make_checkpoint(path: Path) -> None:
    """A DINO checkpoint as a run leaves it, whose teacher was updated once."""
    cfg = Config.fromfile(find(TEACHER))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = registry.MODELS.build(cfg.model)
    model.teacher.steps += 1
    path.parent.mkdir(parents=True)
    meta = dict(cfg=cfg.pretty_text, epoch=6)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)


@pytest.mark.parametrize('text', blocks())
def test_python_blocks_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if 'path/to/images' in text:
        make_images(tmp_path / 'path/to/images')
    for name in set(re.findall(r"'(work_dirs/\S+?\.pth)'", text)):
        make_checkpoint(tmp_path / name)
    monkeypatch.setattr(mp, 'train', partial(mp.train, **SMALL), raising=False)
    space = {}
    exec(compile(text, 'block', 'exec'), space)
    for value in list(space.values()):
        if isinstance(value, (dict, list)):
            for node in each_dict(value):
                kind = str(node.get('type', ''))
                if kind.startswith('mssl_plugins.'):
                    assert any(known.get(kind) for known in REGISTRIES), kind


def test_a_wrong_block_is_noticed(tmp_path, monkeypatch):
    with pytest.raises(AssertionError, match='mssl_plugins.Mixmask'):
        test_python_blocks_run("x = dict(type='mssl_plugins.Mixmask')\n", tmp_path, monkeypatch)
