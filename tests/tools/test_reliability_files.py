"""A short run of damaged and odd files: every kind, each as documented."""

import numpy as np
import pytest

from helpers.tools import tool

files = tool('reliability/files')
odd_files = tool('reliability/odd_files')


@pytest.mark.parametrize('kind', files.KINDS)
def test_every_kind_is_handled_as_documented(tmp_path, kind):
    folder, rng = tmp_path / 'images', np.random.default_rng(0)
    folder.mkdir()
    for i in range(files.GOOD):
        (folder / f'good-{i}.png').write_bytes(files.encoded(rng, 'PNG'))
    expected, kinds = {}, {}
    for i in range(6):
        name = f'{i:03}'
        odd = f'{name}~' if kind == 'odd_name' else name
        expected[name], kinds[name] = files.KINDS[kind](rng, folder, odd), kind
    assert files.check_folder(folder, expected, kinds) == []


def test_a_wrong_expectation_is_seen(tmp_path):
    rng = np.random.default_rng(0)
    for name in ('good-0', '000', '001'):
        (tmp_path / f'{name}.png').write_bytes(files.encoded(rng, 'PNG'))
    expected = {
        '000': files.Expected('unreadable'),
        '001': files.Expected('image', odd_files.turned),
        '002': files.Expected('image'),
    }
    wrong = files.check_folder(tmp_path, expected, dict.fromkeys(expected, 'x'))
    assert [w[2] for w in wrong] == [
        'taken for an image',
        'another image: (24, 40, 3)',
        'was not found',
    ]


@pytest.mark.parametrize('number', range(2))
def test_a_pass_of_four_workers(tmp_path, monkeypatch, number):
    monkeypatch.setattr(files, 'IMAGES', 80)
    assert files.one_pass(number, 0, tmp_path / 'images') == []


def test_hangs_and_crashes_are_told_apart():
    with pytest.raises(TimeoutError):
        files.in_process(lambda: files.time.sleep(30), 0.2)
    with pytest.raises(RuntimeError, match='ended with -9'):
        files.in_process(lambda: files.os.kill(files.os.getpid(), 9), 30)
    assert files.in_process(lambda: [[1]], 30) == [[1]]
