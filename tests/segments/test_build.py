"""Making a segment store: workers, killed and interrupted runs, other recipes."""

import multiprocessing
import shutil
import time

import cv2
import numpy as np
import pytest

from helpers.segment_sets import make, photo, stored
from mssl_plugins.commands.make_segments import main
from mssl_plugins.datasets import ImageFolder
from mssl_plugins.segments import LoadSegments, writer
from mssl_plugins.segments.base import Generator
from mssl_plugins.segments.generators import GENERATORS
from mssl_plugins.segments.image_set import find_images
from mssl_plugins.segments.store import SegmentStore


class Slow(Generator):
    """One segment, after a while."""

    def __call__(self, img, key, sample):
        time.sleep(0.01)
        return np.ones(img.shape[:2], int)


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setitem(GENERATORS, 'slow', Slow)
    monkeypatch.setattr(writer, 'SECONDS', 0.05)


def test_workers_shards_and_order_do_not_matter(folder, tmp_path):
    make(folder, tmp_path / 'one')
    make(folder, tmp_path / 'two', workers=2, shard=5)
    assert len(list((tmp_path / 'two').glob('*.zip'))) == 3
    assert stored(tmp_path / 'one') == stored(tmp_path / 'two')
    assert len(stored(tmp_path / 'one')) == 12


@pytest.mark.parametrize('workers', [0, 2])
def test_a_killed_run_goes_on(folder, tmp_path, slow, workers, capsys, monkeypatch):
    for i in range(36):
        cv2.imwrite(str(folder / f'more{i}.png'), photo(200 + i))
    out, fork = tmp_path / 'seg', multiprocessing.get_context('fork')
    killed, late = fork.Semaphore(0), {image.key for image in find_images(str(folder))[24:]}

    class Half(Slow):
        def __call__(self, img, key, sample):
            if key in late and killed.acquire(timeout=60):  # not before the kill
                killed.release()
            return super().__call__(img, key, sample)

    monkeypatch.setitem(GENERATORS, 'slow', Half)
    child = fork.Process(
        target=make, args=(folder, out, 'slow'), kwargs=dict(workers=workers, shard=16)
    )
    child.start()
    while not list(out.glob('*.zip')):
        assert child.is_alive()
        time.sleep(0.01)
    child.kill()
    child.join()
    killed.release()  # an event would wait for the killed one to wake up
    done = len(SegmentStore(out))
    assert 0 < done < 48
    (out / 'part-000099.zip.incomplete').write_bytes(b'half')
    part = next(out.glob('*.zip'))
    part.write_bytes(part.read_bytes()[:-9])  # as a full disk leaves it
    assert make(folder, out, 'slow', shard=16) == []
    printed = capsys.readouterr().out
    assert 'truncated: its images are made anew' in printed
    assert len(stored(out)) == 48 and not list(out.glob('*.incomplete'))
    make(folder, tmp_path / 'undisturbed', 'slow')
    assert stored(out) == stored(tmp_path / 'undisturbed')
    make(folder, out, 'slow')  # nothing is left to do
    assert '48 of 48 images have segments already' in capsys.readouterr().out


def test_an_interrupted_run_keeps_what_it_made(folder, tmp_path, monkeypatch):

    class Stop(Slow):
        def __call__(self, img, key, sample):
            if '07' in key:
                raise KeyboardInterrupt
            return np.ones(img.shape[:2], int)

    monkeypatch.setitem(GENERATORS, 'slow', Stop)
    with pytest.raises(KeyboardInterrupt):
        make(folder, tmp_path / 'seg', 'slow')
    assert 0 < len(SegmentStore(tmp_path / 'seg')) < 12


def test_two_makers_of_one_file(folder, tmp_path, monkeypatch):
    fork = multiprocessing.get_context('fork')
    begun, go_on = fork.Event(), fork.Event()

    class Waiting(Slow):
        def __call__(self, img, key, sample):
            begun.set()
            go_on.wait(60)
            return np.ones(img.shape[:2], int)

    monkeypatch.setitem(GENERATORS, 'slow', Waiting)
    child = fork.Process(target=make, args=(folder, tmp_path / 'seg', 'slow'))
    child.start()
    assert begun.wait(60)
    with pytest.raises(RuntimeError, match='another process is writing'):
        make(folder, tmp_path / 'seg', 'slow')
    go_on.set()
    child.join()
    assert len(stored(tmp_path / 'seg')) == 12


def test_unreadable_images_are_counted_and_tried_again(folder, tmp_path, capsys):
    bad = folder / 'cat' / '01.png'
    whole = bad.read_bytes()
    bad.write_bytes(whole[:60])
    argv = [str(folder), str(tmp_path / 'seg')]
    assert main([*argv, '--generator', 'slic', '--workers', '0']) == 0
    assert '1 could not be read and have none: cat/01.png' in capsys.readouterr().out
    assert main([*argv, '--check']) == 1
    assert '1 of 12 images have no segments, for they could not' in capsys.readouterr().out
    bad.write_bytes(whole)
    with pytest.raises(ValueError, match='could not be read when they were made'):
        [s for s in ImageFolder(str(folder), pipeline=[LoadSegments(tmp_path / 'seg')])]
    make(folder, tmp_path / 'seg', 'slic')
    assert main([*argv, '--check']) == 0
    dataset = ImageFolder(str(folder), pipeline=[LoadSegments(tmp_path / 'seg')])
    assert all(dataset[i]['segments'].any() for i in range(12))


def test_another_recipe_needs_another_file(folder, tmp_path):
    make(folder, tmp_path / 'seg')
    with pytest.raises(ValueError, match='generator felzenszwalb, now given: slic'):
        make(folder, tmp_path / 'seg', 'slic')
    with pytest.raises(ValueError, match='options .*sigma.* name another folder'):
        make(folder, tmp_path / 'seg', options=dict(sigma=1.0))


def test_joined_sets_have_one_file(folder, tmp_path):
    config = tmp_path / 'config.py'
    parts = [
        dict(type='mssl_plugins.ImageFolder', data_root=str(folder / name), pipeline=[])
        for name in ('cat', 'Möwe')
    ]
    joined = dict(type='RepeatDataset', times=3, dataset=dict(type='ConcatDataset', datasets=parts))
    config.write_text(f'train_dataloader = dict(dataset={joined})\nmodel = dict()')
    make(config, tmp_path / 'seg')
    keys = sorted(stored(tmp_path / 'seg'))
    assert len(keys) == 12 and {k.rsplit('/', 2)[-2] for k in keys} == {'cat', 'Möwe'}
    ImageFolder(str(folder), pipeline=[LoadSegments(tmp_path / 'seg')])[0]


def test_a_photo_in_a_new_sub_folder_gets_its_own_segments(folder, tmp_path):
    """Although the end of its path is the whole name of another one."""
    make(folder, tmp_path / 'seg', 'slic')
    before = set(stored(tmp_path / 'seg'))
    first, second = sorted((folder / 'cat').iterdir())[:2]
    (folder / 'trip/cat').mkdir(parents=True)
    shutil.copy(second, folder / 'trip/cat' / first.name)
    make(folder, tmp_path / 'seg', 'slic')
    assert set(stored(tmp_path / 'seg')) - before == {f'trip/cat/{first.name}.png'}
