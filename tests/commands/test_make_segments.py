"""``make_segments``: its check, its mistakes, the command line."""

import json

import cv2
import pytest

from helpers.paths import ROOT
from helpers.segment_sets import make, photo, stored, write_set
from mssl_plugins.commands.make_segments import main
from mssl_plugins.errors import run_cli


@pytest.fixture
def folder(tmp_path):
    return write_set(tmp_path / 'set')


def test_check_says_what_is_wrong(folder, tmp_path, capsys):
    out = tmp_path / 'seg'
    argv = [str(folder), str(out), '--check']
    make(folder, out)
    assert main(argv) == 0
    assert 'all 12 images have segments' in capsys.readouterr().out
    for i in range(11):
        cv2.imwrite(str(folder / f'new{i:02}.png'), photo(90 + i))
    assert main(argv) == 1
    said = capsys.readouterr().out
    assert '11 of 23 images have no segments: new00.png, new01.png' in said
    assert 'new09.png and 1 more' in said
    make(folder, out)
    cv2.imwrite(str(folder / 'new03.png'), photo(3333))
    assert main(argv) == 1
    assert 'segments of other images: 1 of' in (said := capsys.readouterr().out)
    assert 'new03.png' in said
    shard = next(out.glob('*.zip'))
    shard.write_bytes(shard.read_bytes()[:-50])
    assert main(argv) == 1
    assert f'{shard} is truncated' in capsys.readouterr().out


@pytest.mark.parametrize(
    'argv, words',
    [
        (['DATA', 'OUT'], "unknown --generator 'None': allowed are annotations, felz"),
        (['DATA', 'OUT', '--generator', 'slick'], "did you mean 'slic'"),
        (
            ['DATA', 'OUT', '--generator', 'slic', '--options', 'segment=3'],
            "did you mean 'segments'",
        ),
        (
            ['DATA', 'OUT', '--generator', 'slic', '--weights', 'x'],
            '--weights is for --generator sam',
        ),
        (['DATA', 'OUT', '--generator', 'sam'], 'needs --weights'),
        (['DATA', 'OUT', '--generator', 'sam', '--weights', '/nowhere.pth'], 'no such weights'),
        (['DATA', 'OUT', '--generator', 'annotations'], 'carries no masks of its own'),
        (
            ['DATA', 'OUT', '--generator', 'annotations', '--annotations', '/nowhere'],
            'no such file',
        ),
        (['/nowhere.npz', 'OUT', '--generator', 'slic'], 'no file /nowhere.npz'),
        (['EMPTY', 'OUT', '--generator', 'slic'], 'no image in'),
        (['DATA', 'OUT', '--check'], 'does not exist; no segments.json'),
        (['DATA', 'DATA', '--generator', 'slic'], 'is no segment store'),
        (['DATA', 'OUT', '--generator', 'slic', '--workers', '-1'], '--workers must be'),
    ],
)
def test_mistakes_are_one_line(argv, words, folder, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    names = dict(DATA=str(folder), OUT=str(tmp_path / 'seg'), EMPTY=str(tmp_path / 'empty'))
    given = [names.get(word, word) for word in argv]
    if '--workers' not in given:
        given += ['--workers', '0']
    assert run_cli(lambda: main(given)) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and words in error[0]
    assert not list(tmp_path.glob('seg/*.zip'))


def test_the_command_line(folder, tmp_path, run_python):
    tool = ROOT / 'tools/make_segments.py'
    result = run_python(
        tool,
        folder,
        tmp_path / 'seg',
        '--generator',
        'felzenszwalb',
        '--workers',
        '2',
        '--options',
        'scale=0.1',
    )
    assert result.returncode == 0, result.stderr
    assert '12/12' in result.stdout and '12 images have segments' in result.stdout
    assert json.loads((tmp_path / 'seg/segments.json').read_text())['options'] == dict(
        scale=0.1, sigma=0.8, min_size=0.005, side=256
    )


def test_a_mistake_in_a_worker_names_the_image(folder, tmp_path, capsys):
    status = run_cli(
        lambda: main(
            [str(folder), str(tmp_path / 'seg'), '--generator', 'annotations', '--workers', '2']
        )
    )
    assert status == 1 and 'carries no masks of its own' in capsys.readouterr().err
    make(folder, tmp_path / 'seg', 'slic')  # nothing was made: another way is free
    assert len(stored(tmp_path / 'seg')) == 12
