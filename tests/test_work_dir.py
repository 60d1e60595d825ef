"""The folder of a run: which checkpoint is its last one."""

import os
import shutil
from pathlib import Path

import pytest

from mssl_plugins.errors import UserError
from mssl_plugins.work_dir import WorkDir, beside, last_checkpoint


@pytest.fixture
def folder(tmp_path):
    """A work dir with checkpoints a second apart."""
    for second, name in enumerate(
        ('best_a_epoch_9.pth', 'epoch_2.pth', 'epoch_10.pth', 'interim.pth', 'mine.pth')
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (second, 50 if name == 'best_a_epoch_9.pth' else second))
    return tmp_path


@pytest.mark.parametrize(
    'text', [None, b'', b'\n', b'\0\0\0', b'\xff\xfe', b'/nowhere/epoch_7.pth', b'epoch_7']
)
def test_a_damaged_note_loses_no_run(folder, text):
    if text is not None:
        (folder / 'last_checkpoint').write_bytes(text)
    assert last_checkpoint(folder) == str(folder / 'interim.pth')
    (folder / 'interim.pth').unlink()
    assert last_checkpoint(folder) == str(folder / 'epoch_10.pth')


def test_a_note_is_followed_also_where_the_folder_moved(folder):
    for text in (str(folder / 'epoch_2.pth'), '/elsewhere/epoch_2.pth\n'):
        (folder / 'last_checkpoint').write_text(text)
        assert last_checkpoint(folder) == str(folder / 'epoch_2.pth')


def test_nothing_saved(tmp_path):
    assert last_checkpoint(tmp_path) is None
    (tmp_path / 'last_checkpoint').mkdir()
    assert last_checkpoint(tmp_path) is None


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    with pytest.raises(UserError, match='udce9.* is not UTF-8'):
        WorkDir(os.fsdecode(os.fsencode(tmp_path) + b'/caf\xe9'))


def test_links_of_a_stranger_are_not_written_through(tmp_path):
    (tmp_path / 'canary').write_text('alive')
    folder = tmp_path / 'run'
    folder.mkdir()
    for name in ('.lock', 'config.py'):
        (folder / name).symlink_to(tmp_path / 'canary')
    place = WorkDir(str(folder))
    place.lock()
    assert (tmp_path / 'canary').read_text() == 'alive'
    assert not (folder / 'config.py').is_symlink() and not (folder / '.lock').is_symlink()
    place.release()


@pytest.mark.parametrize('before', ['no folder', 'a folder', 'a folder with lists'])
def test_the_list_of_what_is_not_used_survives(tmp_path, before, capsys):
    """A run that never began leaves nothing but the reasons."""
    folder = tmp_path / 'runs/mine'
    if before != 'no folder':
        (folder / 'images' if 'lists' in before else folder).mkdir(parents=True)
    place = WorkDir(str(folder))
    place.lock()
    (folder / 'images').mkdir(exist_ok=True)
    (folder / 'images/not_used.txt').write_text('cut.jpg\ttruncated\n')
    place.release()
    place.clean_up()
    names = {'no folder': '../mine_not_used.txt', 'a folder': 'not_used.txt'}
    kept = tmp_path / 'runs' / os.path.normpath(f'mine/{names.get(before, "images/not_used.txt")}')
    assert [p for p in tmp_path.rglob('*') if p.is_file()] == [kept]
    assert kept.read_text() == 'cut.jpg\ttruncated\n'
    assert (str(kept) in capsys.readouterr().out) == (before in names)


@pytest.mark.parametrize('ends', ['refused', 'killed', 'begun'])
def test_an_older_runs_lists_outlive_a_run_that_never_begins(tmp_path, ends, capsys):
    """And files of the user beside them are nobody's lists."""
    lists = tmp_path / 'images'
    lists.mkdir()
    before = {'train.txt': 'old', 'held_out.txt': 'old', 'photo.jpg': 'mine'}
    for name, text in before.items():
        (lists / name).write_text(text)
    beside = {'config.py': 'epochs = 3', 'monitor.json': '{"measured": [1]}'}
    for name, text in beside.items():
        (tmp_path / name).write_text(text)
    place = WorkDir(str(tmp_path))
    place.lock()
    place.put_aside()
    after = {'train.txt': 'new', 'not_used.txt': 'cut.jpg', 'channels.json': '{}'}
    for name, text in after.items():
        (lists / name).write_text(text)
    (tmp_path / 'config.py').write_text('epochs = 4')
    (tmp_path / 'monitor.json').write_text('{"measured": []}')
    place.release()
    if ends == 'begun':
        place.forget_old()
        wanted = dict(after, **{'photo.jpg': 'mine'})
    elif ends == 'killed':  # the next run finds what it left
        WorkDir(str(tmp_path)).lock()
        wanted = before
    else:
        place.clean_up()
        wanted = before
        assert (tmp_path / 'not_used.txt').read_text() == 'cut.jpg'
        assert str(tmp_path / 'not_used.txt') in capsys.readouterr().out
    assert {p.name: p.read_text() for p in lists.iterdir()} == wanted
    kept = {name: (tmp_path / name).read_text() for name in beside}
    assert (kept == beside) == (ends != 'begun')
    assert not (tmp_path / '.images.old').exists()


@pytest.mark.parametrize('before', ['nothing', 'a run', 'a killed check'])
def test_a_check_touches_no_run(tmp_path, before):
    """It has a folder of its own, which goes; a list of what is not used stays with the run."""
    run = tmp_path / 'mine'
    if before == 'a run':
        run.mkdir()
        (run / 'config.py').write_text('epochs = 3')
    if before == 'a killed check':
        beside(run).mkdir()
        (beside(run) / 'epoch_1.pth').write_text('')
    place = WorkDir(str(run), check=True)
    assert place.path == beside(run)
    assert place.path.parent == (run if before == 'a run' else tmp_path)
    place.lock()
    (place.path / 'images').mkdir()
    (place.path / 'images/not_used.txt').write_text('cut.jpg\ttruncated\n')
    (place.path / 'config.py').write_text('epochs = 4')
    place.release()
    place.clean_up()
    kept = run / 'not_used.txt' if before == 'a run' else tmp_path / 'mine_not_used.txt'
    assert kept.read_text() == 'cut.jpg\ttruncated\n'
    others = [run / 'config.py'] if before == 'a run' else []
    assert sorted(p for p in tmp_path.rglob('*') if p.is_file()) == sorted([kept, *others])


def test_a_file_is_no_folder_of_a_run(tmp_path):
    (tmp_path / 'notes').write_text('mine')
    with pytest.raises(UserError, match='notes is a file: name a folder'):
        WorkDir(str(tmp_path / 'notes'))


@pytest.mark.parametrize('killed', ['while copying', 'while putting back', 'while cleaning up'])
def test_a_kill_while_files_are_put_aside_loses_none(tmp_path, killed, monkeypatch):
    """Copies, made whole under another name, and put back as often as needed."""
    before = {'images/train.txt': 'a', 'images/held_out.txt': 'b', 'config.py': 'c'}
    (tmp_path / 'images').mkdir()
    for name, text in before.items():
        (tmp_path / name).write_text(text)
    place = WorkDir(str(tmp_path))
    place.lock()
    real, done = shutil.copy2, []

    def copy(*paths):
        done.append(real(*paths))
        if len(done) == 2:
            raise KeyboardInterrupt

    if killed == 'while copying':
        monkeypatch.setattr(shutil, 'copy2', copy)
        with pytest.raises(KeyboardInterrupt):
            place.put_aside()
    else:
        place.put_aside()
        (tmp_path / 'images/train.txt').write_text('new')
        place.release()
        if killed == 'while putting back':
            monkeypatch.setattr(shutil, 'copy2', copy)
        else:

            def cut(path, *_, **__):
                (Path(path) / 'config.py').unlink()
                raise KeyboardInterrupt

            monkeypatch.setattr(shutil, 'rmtree', cut)
        with pytest.raises(KeyboardInterrupt):
            WorkDir(str(tmp_path)).lock()
    monkeypatch.undo()
    place.release()
    WorkDir(str(tmp_path)).lock()
    assert {name: (tmp_path / name).read_text() for name in before} == before
    assert not list(tmp_path.glob('.images*'))


def test_a_config_in_the_work_dir_stays_where_it_is_named(tmp_path):
    (tmp_path / 'config.py').write_text('epochs = 3')
    place = WorkDir(str(tmp_path))
    place.lock()
    place.put_aside()
    assert (tmp_path / 'config.py').read_text() == 'epochs = 3'
    place.release()
    place.clean_up()
    assert [p.name for p in tmp_path.iterdir()] == ['config.py']
