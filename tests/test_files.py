"""Lists of names and logged scalars as they are found."""

import os

import pytest

from mssl_plugins.files import (
    as_bytes,
    check_place,
    read_lines,
    read_scalars,
    whole_file,
    whole_folder,
    write_atomically,
)


def test_names_that_are_not_utf8_come_back(tmp_path):
    names = [os.fsdecode(b'caf\xe9/1.png'), 'a b.png', 'line\u2028separator.png', '']
    (tmp_path / 'list.txt').write_bytes(as_bytes(names))
    assert read_lines(tmp_path / 'list.txt') == names


def test_a_link_of_a_stranger_is_not_written_through(tmp_path):
    canary, folder = tmp_path / 'canary', tmp_path / 'folder'
    canary.write_text('alive')
    folder.mkdir()
    for target in (canary, tmp_path / 'nothing', tmp_path / 'canary'):
        (folder / '.a.incomplete').symlink_to(target)
        write_atomically(b'mine', folder / 'a')
        (folder / 'a').unlink()
        (folder / 'a').symlink_to(canary)
        write_atomically(b'mine', folder / 'a')
        assert not (folder / 'a').is_symlink()
    assert canary.read_text() == 'alive' and not (tmp_path / 'nothing').exists()


def test_scalars_of_a_killed_run(tmp_path):
    log = tmp_path / 'run/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    for end in (b'{"loss": 0.9, "st', b'\0\0\0\0', b'\xff\xfe{', b'[1]\n3', b''):
        log.write_bytes(b'{"loss": 1.0, "step": 1}\n{"loss": 2.0}\n' + end)
        assert read_scalars(tmp_path) == [{'loss': 1.0, 'step': 1}, {'loss': 2.0}]
    (tmp_path / 'odd/vis_data/scalars.json').mkdir(parents=True)
    assert len(read_scalars(tmp_path)) == 2


def test_whatever_stops_a_write_leaves_no_partial_file(tmp_path, monkeypatch):
    """A killed worker of a loader raises RuntimeError wherever the process is."""

    def stopped(descriptor):
        raise RuntimeError('DataLoader worker is killed by signal')

    monkeypatch.setattr(os, 'fsync', stopped)
    with pytest.raises(RuntimeError, match='killed by signal'):
        write_atomically(b'x', tmp_path / 'file')
    assert not list(tmp_path.iterdir())


def test_a_file_gets_its_name_once_it_is_whole(tmp_path):
    path = tmp_path / 'folder/film.mp4'
    for number in (1, 2):
        with whole_file(path, '.mp4') as part:
            assert part.suffix == '.mp4' and part.name.startswith('.') and not part.exists()
            part.write_text(f'{number}')
            assert path.exists() == (number == 2)
    with pytest.raises(ValueError, match='half'):
        with whole_file(path, '.mp4') as part:
            part.write_text('half')
            raise ValueError('half')
    assert [file.name for file in path.parent.iterdir()] == ['film.mp4']
    assert path.read_text() == '2'


def test_a_folder_gets_its_name_once_it_is_whole(tmp_path):
    path = tmp_path / 'around/folder'
    for number in (1, 2):
        with whole_folder(path) as part:
            (part / f'{number}').touch()
    with pytest.raises(ValueError, match='half'):
        with whole_folder(path) as part:
            (part / '3').touch()
            raise ValueError('half')
    assert [file.name for file in path.parent.rglob('*')] == ['folder', '2']


def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    check_place(tmp_path / 'new/folder/a.npz')
    assert not (tmp_path / 'new').exists()
    (tmp_path / 'file').write_text('mine')
    for path in (tmp_path / 'file/a.npz', tmp_path):
        with pytest.raises(OSError, match=str(path)):
            check_place(path)
