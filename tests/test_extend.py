"""docs/extend.md's worked examples, run as a reader would, outside the repository."""

import re
import sys

import pytest
import torch

from helpers.paths import ROOT


@pytest.fixture(scope='module')
def example(tmp_path_factory):
    """A folder with the page's four files."""
    folder = tmp_path_factory.mktemp('a new mask')
    blocks = re.findall(
        r'```python\n# (\w+\.py)\n(.*?)```', (ROOT / 'docs/extend.md').read_text(), re.S
    )
    assert len(blocks) == 4
    for name, text in blocks:
        (folder / name).write_text(text)
    return folder


def run(example, run_python, name):
    done = run_python(f'{name}.py', cwd=example, env={'PYTHONPATH': f'{ROOT}:{example}'})
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_mask_trains(example, run_python, monkeypatch):
    out = run(example, run_python, 'train_center_mst')
    assert out.strip().endswith('work_dirs/center/epoch_1.pth')
    monkeypatch.setattr(sys, 'path', [str(example), *sys.path])
    from center_mst import center_mask

    hidden = center_mask(4, 6, 2).nonzero().flatten().tolist()
    assert hidden == [6 + 2, 6 + 3, 12 + 2, 12 + 3]
    # the log holds the fraction of hidden patches, 9 of 64
    log = next(example.glob('work_dirs/center/*/vis_data/scalars.json')).read_text()
    assert f'"masked": {9 / 64}' in log


def test_the_teacher_moves_at_every_second_step(example, run_python):
    run(example, run_python, 'train_slow_dino')
    state = torch.load(example / 'work_dirs/slow/epoch_1.pth', weights_only=True)['state_dict']
    assert int(state['teacher.asked']) == 4 and int(state['teacher.steps']) == 2
