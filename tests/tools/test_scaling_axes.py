"""tools/scale.py axes: real points, few of them."""

import sys

import pytest
import torch

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / 'tools'))
from scaling import axes, kept


@pytest.fixture(autouse=True)
def page(monkeypatch, tmp_path):
    monkeypatch.setattr(kept, 'PAGE', tmp_path / 'scale.md')
    threads = torch.get_num_threads()
    yield tmp_path / 'scale.md'
    torch.set_num_threads(threads)


def test_points_are_measured_kept_and_written(page, monkeypatch, capsys):
    """The contrast of ASL, whose time grows with the square of the batch."""
    page.write_text('# Scale\n')
    curves = [c for c in axes.CURVES if 'contrast' in c.what]
    monkeypatch.setattr(axes, 'CURVES', curves)
    axes.main(['--only', 'batch', '--values', '16', '2', '--rounds', '1', '--write'])
    (curve,) = kept.load()['batch']['curves']
    (few, fast, _), (many, slow, used) = curve['points']
    assert (few, many) == (2, 16) and slow > 4 * fast and used > 0
    assert "ASL's contrast alone, 224 px | s by images | 2: " in page.read_text()
    assert page.read_text().count(capsys.readouterr().out.strip()) == 1


def test_every_curve_has_its_number():
    """Of tokens, segments and queue: what is built is of the size that stands in the row."""
    assert {c.axis for c in axes.CURVES} == {'batch', 'tokens', 'segments', 'queue'}
    tokens = [c for c in axes.CURVES if c.axis == 'tokens']
    assert [tokens[0].size(px) for px in (64, 96)] == [16, 36]
    tokens[1].ready(64)()
    (guided,) = [c for c in axes.CURVES if c.what.startswith('mask-guided MAE')]
    guided.ready(4)()  # a whole step


def test_images_are_read_from_files(tmp_path):
    rates = axes.loader(str(tmp_path), 1, repeat=1)
    assert rates['MAE, ASL'] > rates['DINO, MST'] > 0 and rates['decoded'] > rates['MoCo v2'] > 0


@pytest.mark.parametrize(
    'argv, said',
    [
        (['--rounds', '0'], '--rounds 0: must be 1 or more'),
        (['--only', 'size'], "invalid choice: 'size'"),
        (['--values', '3'], '--values goes with --only and one of batch, tokens, segments, queue'),
        (['--only', 'batch', '--values', '0'], '--values 0: must be 1 or more'),
        (['--only', 'tokens', '--values', '30'], 'in px, multiples of 16'),
    ],
)
def test_wrong_options_are_told_in_a_line(argv, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        axes.main(argv)
    assert stopped.value.code == 2 and said in capsys.readouterr().err.splitlines()[-1]
