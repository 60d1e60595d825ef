"""Segments: their file, its maker and check, and their way into the views."""

import gc
import json
import multiprocessing
import os
import pickle
import shutil
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mssl_plugins.commands.make_segments import main
from mssl_plugins.datasets import ImageFolder, PackedImages, SampleIndex, Scenes
from mssl_plugins.datasets.transforms import PackViews, Views
from mssl_plugins.errors import run_cli
from mssl_plugins.segments import LoadSegments, build, writer
from mssl_plugins.segments.base import Generator, label_map
from mssl_plugins.segments.generators import GENERATORS, Annotations, build_generator
from mssl_plugins.segments.image_set import find_images
from mssl_plugins.segments.store import FORMAT, SegmentStore, encode, write_shard


@pytest.fixture(scope='module', autouse=True)
def _quick_collection():
    """MMEngine collects garbage for each dataset, through all that is imported."""
    gc.freeze()
    yield
    gc.unfreeze()


def photo(seed, height=40, width=56):
    """Blobs of color: pictures that differ from afar, too."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def folder(tmp_path):
    """12 pictures of several sizes in sub-folders, one name not ASCII."""
    root = tmp_path / 'set'
    for i in range(12):
        path = root / ('cat' if i % 2 else 'Möwe') / f'{i:02}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), photo(i, 40 + 4 * (i % 3)))
    return root


def make(data, out, generator='felzenszwalb', **kwargs):
    return build.make(find_images(str(data)), str(out), generator, shown=False, **kwargs)


def stored(out):
    """Every label map of a file by its key."""
    import zipfile

    found = {}
    for shard in Path(out).glob('*.zip'):
        with zipfile.ZipFile(shard) as archive:
            for name in archive.namelist():
                assert name not in found
                found[name] = archive.read(name)
    return found


class Slow(Generator):
    """One segment, after a while."""

    def __call__(self, img, key, sample):
        time.sleep(0.01)
        return np.ones(img.shape[:2], int)


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setitem(GENERATORS, 'slow', Slow)
    monkeypatch.setattr(writer, 'SECONDS', 0.05)


# ------------------------------------------------------------------ the file
@pytest.mark.parametrize(
    'count, kind', [(1, np.uint8), (255, np.uint8), (256, np.uint16), (3000, np.uint16)]
)
def test_label_maps_come_back(tmp_path, count, kind):
    img = photo(0)
    labels = np.arange(40 * 56).reshape(40, 56) * (count + 1) // (40 * 56)
    if count > 40 * 56:
        labels = np.arange(40 * 56).reshape(40, 56)
    (tmp_path / 'segments.json').write_text(json.dumps(dict(format=FORMAT, generator='x')))
    write_shard(tmp_path / 'a.zip', [encode('ä/b c.jpg', labels * 7, img)])
    file = SegmentStore(tmp_path)
    read = file.read(file.find(['/somewhere/ä/b c.jpg'])[0])
    assert read.dtype == kind and (read == labels).all()
    assert file.find(['b c.jpg', 'xä/b c.jpg']).tolist() == [-1, -1]


def test_bad_label_maps_are_refused():
    for labels, words in (
        (np.ones((4, 4)), 'integer'),
        (np.ones((4, 4, 1), int), 'map'),
        (-np.ones((4, 4), int), '-1'),
        (np.arange(300 * 300).reshape(300, 300), '65,535'),
    ):
        with pytest.raises(ValueError, match=words):
            encode('a', labels, photo(0))


def test_the_longest_end_of_a_path_is_found(tmp_path):
    (tmp_path / 'segments.json').write_text(json.dumps(dict(format=FORMAT)))
    write_shard(
        tmp_path / 'a.zip',
        [
            encode(key, np.full((2, 2), 1), photo(i))
            for i, key in enumerate(['b.png', 'a/b.png', 'c/a/b.png'])
        ],
    )
    file = SegmentStore(tmp_path)
    at = file.find(['/x/b.png', '/x/a/b.png', 'c/a/b.png', 'b.png', '/x/bb.png'])
    assert [file.is_of(i, photo(n)) for n, i in enumerate(at[:3])] == [True] * 3
    assert at[3] == at[0] and at[4] == -1


# ------------------------------------------------------------- the transform
def reference(labels, box, flip, size):
    """Label of the pixel under each view pixel's center, in whole numbers."""
    x0, y0, x1, y1 = box
    view = [[0] * size for _ in range(size)]
    for r in range(size):
        for c in range(size):
            u = size - 1 - c if flip else c
            x = x0 + (2 * u + 1) * (x1 - x0) // (2 * size)
            y = y0 + (2 * r + 1) * (y1 - y0) // (2 * size)
            if 0 <= x < labels.shape[1] and 0 <= y < labels.shape[0]:
                view[r][c] = int(labels[y, x])
    return view


def test_segments_follow_1000_random_views(folder, tmp_path):
    make(folder, tmp_path / 'seg', 'slic', options=dict(segments=20))
    groups = [
        dict(num=2, size=16, scale=(0.2, 1.0)),
        dict(num=2, size=9, scale=(0.05, 0.4)),
        dict(num=1, size=20, crop='pad', padding=16),
    ]
    views = dict(type='mssl_plugins.Views', views=groups)
    load = dict(type='mssl_plugins.LoadSegments', segments=str(tmp_path / 'seg'))
    plain = ImageFolder(str(folder), pipeline=[load])
    dataset = ImageFolder(str(folder), pipeline=[load, views])
    count, flips = 0, 0
    for epoch in range(17):
        for i in range(12):
            out = dataset[SampleIndex(i, seed=3, epoch=epoch)]
            labels = plain[i]['segments']
            assert labels.shape == plain[i]['img'].shape[:2] and labels.max() > 5
            for view in range(5):
                box, flip = out['view_boxes'][view].astype(int).tolist(), out['view_flips'][view]
                wanted = reference(labels, box, flip, len(out['img'][view]))
                assert out['view_segments'][view].tolist() == wanted
                count, flips = count + 1, flips + int(flip)
    assert count >= 1000 and 400 < flips < 600


def test_the_picture_and_its_segments_stay_together(folder, tmp_path):
    """Segments drawn from the picture itself, cut by the same views."""

    class Bright(Generator):
        def __call__(self, img, key, sample):
            return (img[..., 1] > 128).astype(int)

    GENERATORS['bright'] = Bright
    try:
        make(folder, tmp_path / 'seg', 'bright')
    finally:
        del GENERATORS['bright']
    dataset = ImageFolder(
        str(folder),
        pipeline=[LoadSegments(tmp_path / 'seg'), Views([dict(num=4, size=32)]), PackViews()],
    )
    for i in range(12):
        sample = dataset[SampleIndex(i, seed=0, epoch=0)]
        for view, labels in zip(sample['inputs'], sample['data_samples'].view_segments):
            green = view[1].numpy()
            clear = np.abs(green.astype(int) - 128) > 40  # borders are blurred
            assert ((labels.numpy() > 0) == (green > 128))[clear].all()


def test_smaller_segments_grow_with_the_image(tmp_path, folder):
    make(folder, tmp_path / 'seg', options=dict(side=20))
    sample = ImageFolder(str(folder), pipeline=[LoadSegments(tmp_path / 'seg')])[0]
    file = SegmentStore(tmp_path / 'seg')
    small = file.read(int(file.find([sample['img_path']])[0]))
    assert max(small.shape) == 20 and sample['segments'].shape == sample['img'].shape[:2]
    h, w = sample['segments'].shape
    for y in range(0, h, 5):
        for x in range(0, w, 5):
            inside = small[
                (2 * y + 1) * small.shape[0] // (2 * h), (2 * x + 1) * small.shape[1] // (2 * w)
            ]
            assert sample['segments'][y, x] == inside


def test_moved_folders_and_resized_copies_are_the_same_images(folder, tmp_path):
    make(folder, tmp_path / 'seg')
    moved = shutil.copytree(folder, tmp_path / 'elsewhere' / 'deep' / 'set')
    for path in moved.rglob('*.png'):
        cv2.imwrite(
            str(path),
            cv2.resize(cv2.imread(str(path)), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        )
    dataset = ImageFolder(str(tmp_path / 'elsewhere'), pipeline=[LoadSegments(tmp_path / 'seg')])
    assert all(dataset[i]['segments'].shape == dataset[i]['img'].shape[:2] for i in range(12))


def packed(path, images):
    files = [cv2.imencode('.png', img)[1].ravel() for img in images]
    np.savez(path, data=np.concatenate(files), off=np.cumsum([0, *map(len, files)]))


def test_packed_images_and_subsets(tmp_path):
    packed(tmp_path / 'a.npz', [photo(i) for i in range(6)])
    packed(tmp_path / 'b.npz', [photo(i + 50) for i in range(6)])
    make(tmp_path / 'a.npz', tmp_path / 'seg')
    load = LoadSegments(tmp_path / 'seg')
    whole = PackedImages(str(tmp_path / 'a.npz'), pipeline=[load])
    part = PackedImages('a.npz', str(tmp_path), indices=range(1, 6, 2), pipeline=[load])
    assert [(part[i]['segments'] == whole[2 * i + 1]['segments']).all() for i in range(3)]
    with pytest.raises(ValueError, match='other images: none of the 6'):
        PackedImages(str(tmp_path / 'b.npz'), pipeline=[load])
    shutil.copy(tmp_path / 'b.npz', tmp_path / 'a.npz')
    with pytest.raises(ValueError, match='made from another image'):
        PackedImages(str(tmp_path / 'a.npz'), pipeline=[load])[0]


def test_images_without_a_path_go_by_their_number(tmp_path):
    dataset = [dict(img=photo(i), sample_idx=i) for i in range(3)]
    (tmp_path / 'segments.json').write_text(json.dumps(dict(format=FORMAT)))
    write_shard(
        tmp_path / 'a.zip', [encode(str(i), np.full((40, 56), i), photo(i)) for i in range(3)]
    )
    load = LoadSegments(tmp_path)
    assert [load(dict(s))['segments'].max() for s in dataset] == [0, 1, 1]
    gray = load(dict(img=photo(1)[..., 1], sample_idx=1))
    assert gray['img'].shape == (40, 56, 3) and gray['segments'].all()


def test_scenes_have_segments_of_their_own(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text(
        "train_dataloader = dict(dataset=dict(type='mssl_plugins.Scenes', length=6, "
        "objects=(1, 3), indices=5, pipeline=[dict(type='mssl_plugins.PackViews')]"
        '))\nmodel = dict()'
    )
    make(config, tmp_path / 'seg', 'annotations')
    scenes = Scenes(length=5, objects=(1, 3), pipeline=[LoadSegments(tmp_path / 'seg')])
    for i in range(5):
        scene = scenes[i]
        masks = scene['gt_masks']
        assert ((scene['segments'] > 0) == masks.any(0)).all()
        assert len(np.unique(scene['segments'])) - 1 == len(masks)
    with pytest.raises(ValueError, match='another image'):
        Scenes(length=5, objects=(1, 3), seed=1, pipeline=[LoadSegments(tmp_path / 'seg')])[0]


@pytest.mark.parametrize('workers', [0, 2])
def test_workers_read_and_copies_travel(folder, tmp_path, workers):
    make(folder, tmp_path / 'seg', shard=5)
    pipeline = [LoadSegments(tmp_path / 'seg'), Views([dict(num=2, size=16)]), PackViews()]
    dataset = ImageFolder(str(folder), pipeline=pipeline)
    alone = [dataset[i]['data_samples'].view_boxes.shape for i in range(12)]
    dataset = pickle.loads(pickle.dumps(dataset))  # as spawned workers get it
    loader = DataLoader(dataset, batch_size=None, collate_fn=lambda item: item, num_workers=workers)
    batch = [sample['data_samples'] for sample in loader]
    assert [s.view_boxes.shape for s in batch] == alone
    assert all(
        s.view_segments[0].dtype == torch.uint8 and s.view_segments[0].max() > 0 for s in batch
    )


# ------------------------------------------------------------ what can be wrong
def test_missing_segments_are_counted_and_named(folder, tmp_path):
    make(folder, tmp_path / 'seg')
    for i in range(3):
        cv2.imwrite(str(folder / 'cat' / f'new{i}.png'), photo(90 + i))
    load = LoadSegments(tmp_path / 'seg')
    with pytest.raises(ValueError, match=r'no segments for 3 of 15 images: \S+new0.png, \S+new1'):
        ImageFolder(str(folder), pipeline=[load])
    lazy = ImageFolder(str(folder / 'cat'), pipeline=[], labels=False)
    lazy.pipeline.transforms.append(load)  # a dataset that does not look them up
    with pytest.raises(ValueError, match=r'no segments for \S+new0.png.*among the 12 images'):
        lazy[6]
    empty = ImageFolder(str(folder), pipeline=[LoadSegments(tmp_path / 'seg', True)])
    sample = next(s for s in map(empty.__getitem__, range(15)) if 'new' in s['img_path'])
    assert sample['segments'].shape == sample['img'].shape[:2] and not sample['segments'].any()


def test_segments_of_other_images_are_noticed(folder, tmp_path):
    make(folder, tmp_path / 'seg')
    other = tmp_path / 'other'
    for path in folder.rglob('*.png'):  # the same names and sizes
        new = other / path.relative_to(folder)
        new.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(new), cv2.flip(cv2.imread(str(path)), -1))
    with pytest.raises(ValueError, match='other images under the same names'):
        make(other, tmp_path / 'seg')
    for allow in (False, True):
        dataset = ImageFolder(str(other), pipeline=[LoadSegments(tmp_path / 'seg', allow)])
        with pytest.raises(ValueError, match='segments of other images.*another image'):
            dataset[0]
    for path in other.rglob('*.png'):
        path.rename(path.with_name('x' + path.name))
    with pytest.raises(ValueError, match='other images: none of the 12 of this set'):
        ImageFolder(str(other), pipeline=[LoadSegments(tmp_path / 'seg', True)])
    before = (tmp_path / 'seg/segments.json').read_text()
    with pytest.raises(ValueError, match='12 other images'):
        make(other / 'cat', tmp_path / 'seg')
    assert (tmp_path / 'seg/segments.json').read_text() == before
    with pytest.raises(ValueError, match='other proportions|another image'):
        LoadSegments(tmp_path / 'seg')(dict(img=photo(0, 60), img_path='Möwe/00.png'))


@pytest.mark.parametrize('damage', ['truncated', 'bytes', 'index', 'format', 'nothing', 'none'])
def test_damaged_files_are_noticed(folder, tmp_path, damage):
    make(folder, tmp_path / 'seg')
    (shard,) = (tmp_path / 'seg').glob('*.zip')
    content = bytearray(shard.read_bytes())
    index = tmp_path / 'seg' / 'segments.json'
    if damage == 'truncated':
        shard.write_bytes(content[: len(content) // 2])
    elif damage == 'bytes':
        content[200:230] = bytes(30)
        shard.write_bytes(content)
    elif damage == 'index':
        index.write_text('{')
    elif damage == 'format':
        index.write_text(json.dumps(dict(format='mssl_plugins segments 9')))
    elif damage == 'nothing':
        shard.unlink()
    else:
        index.unlink()
    words, kind = dict(
        truncated=('truncated', ValueError),
        bytes=('truncated or damaged', ValueError),
        index=('damaged', ValueError),
        format=('segments 9', ValueError),
        nothing=('no segments yet', ValueError),
        none=('segments.json', FileNotFoundError),
    )[damage]
    with pytest.raises(kind, match=words):
        dataset = ImageFolder(str(folder), pipeline=[LoadSegments(tmp_path / 'seg')])
        [dataset[i] for i in range(12)]


def test_a_config_is_built_before_its_segments_are_there():
    load = LoadSegments('/nowhere/segments')
    assert '/nowhere' in repr(load)
    with pytest.raises(FileNotFoundError, match='/nowhere/segments does not exist.*make_segments'):
        load(dict(img=photo(0), sample_idx=0))


# ------------------------------------------------------------------ the maker
def test_workers_shards_and_order_do_not_matter(folder, tmp_path):
    make(folder, tmp_path / 'one')
    make(folder, tmp_path / 'two', workers=2, shard=5)
    assert len(list((tmp_path / 'two').glob('*.zip'))) == 3
    assert stored(tmp_path / 'one') == stored(tmp_path / 'two')
    assert len(stored(tmp_path / 'one')) == 12


@pytest.mark.parametrize('workers', [0, 2])
def test_a_killed_run_goes_on(folder, tmp_path, slow, workers, capsys):
    for i in range(36):
        cv2.imwrite(str(folder / f'more{i}.png'), photo(200 + i))
    out = tmp_path / 'seg'
    child = multiprocessing.get_context('fork').Process(
        target=make, args=(folder, out, 'slow'), kwargs=dict(workers=workers, shard=16)
    )
    child.start()
    while not list(out.glob('*.zip')):
        assert child.is_alive()
        time.sleep(0.01)
    child.kill()
    child.join()
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


def test_another_recipe_needs_another_file(folder, tmp_path):
    make(folder, tmp_path / 'seg')
    with pytest.raises(ValueError, match='generator felzenszwalb, now given: slic'):
        make(folder, tmp_path / 'seg', 'slic')
    with pytest.raises(ValueError, match='options .*sigma.* give another OUT'):
        make(folder, tmp_path / 'seg', options=dict(sigma=1.0))


def test_the_command_line(folder, tmp_path, run_python):
    tool = Path(__file__).parents[2] / 'tools/make_segments.py'
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


# ------------------------------------------------------------- the generators
def test_the_smaller_mask_owns_the_pixel():
    rng = np.random.default_rng(0)
    masks = [rng.random((9, 7)) < share for share in (0.2, 0.9, 0.5, 0.5)]
    labels = label_map(masks, (9, 7))
    order = sorted(range(4), key=lambda i: -masks[i].sum())
    for y in range(9):
        for x in range(7):
            owners = [order.index(i) + 1 for i in range(4) if masks[i][y, x]]
            assert labels[y, x] == max(owners, default=0)
    assert label_map([], (3, 4, 3)).shape == (3, 4)


def test_coco_annotations(tmp_path):
    pytest.importorskip('pycocotools')
    from pycocotools import mask as coco

    block = np.zeros((40, 56), np.uint8, order='F')
    block[30:36, 40:50] = 1
    rle = coco.encode(block)
    rle['counts'] = rle['counts'].decode()
    notes = [
        dict(image_id=7, segmentation=[[4, 4, 36, 4, 36, 24, 4, 24]]),
        dict(image_id=7, segmentation=[[8, 8, 16, 8, 16, 16, 8, 16]]),
        dict(image_id=7, segmentation=rle),
        dict(image_id=7),
    ]
    path = tmp_path / 'instances.json'
    path.write_text(
        json.dumps(
            dict(images=[dict(id=7, file_name='a.png', height=40, width=56)], annotations=notes)
        )
    )
    labels = Annotations(str(path))(photo(0), 'set/a.png', {})
    assert labels[6, 30] == 1 and labels[10, 10] == 2 and labels[33, 45] == 3 and labels[0, 0] == 0
    assert abs((labels == 2).sum() - 64) <= 17 and (labels == 3).sum() == 60
    with pytest.raises(ValueError, match='40 x 60 px.*40 x 56'):
        Annotations(str(path))(photo(0, 40, 60), 'a.png', {})
    with pytest.raises(ValueError, match='b.png is not among the 1 images'):
        Annotations(str(path))(photo(0), 'b.png', {})
    path.write_text('{}')
    with pytest.raises(ValueError, match='no COCO file'):
        Annotations(str(path))


def test_label_images(tmp_path):
    from PIL import Image

    labels = np.zeros((20, 28), np.uint8)
    labels[2:9, 3:9], labels[10:15, 4:20], labels[0] = 1, 4, 255
    palette = Image.fromarray(labels, 'P')
    palette.putpalette([3, 7, 9] * 256)  # colors that say nothing
    (tmp_path / 'ann' / 'cat').mkdir(parents=True)
    palette.save(tmp_path / 'ann' / 'cat' / 'a.png')
    colors = np.zeros((20, 28, 3), np.uint8)
    colors[2:9, 3:9], colors[10:15, 4:20] = (200, 0, 0), (0, 0, 200)
    Image.fromarray(colors).save(tmp_path / 'ann' / 'b.png')
    read = Annotations(str(tmp_path / 'ann'))
    first, second = read(photo(0), 'cat/a.jpg', {}), read(photo(0), 'cat/b.jpg', {})
    for found in (first, second):
        assert len(np.unique(found)) == 3 and found[0, 0] == 0
        assert len({found[3, 4], found[12, 5], 0}) == 3
    with_sky = Annotations(str(tmp_path / 'ann'), none=255)(photo(0), 'cat/a.jpg', {})
    assert len(np.unique(with_sky)) == 4 and with_sky[19, 0] > 0 == with_sky[0, 0]
    with pytest.raises(FileNotFoundError, match='no label image for c.jpg'):
        read(photo(0), 'c.jpg', {})
    with pytest.raises(ValueError, match='20 x 28 px, its image'):
        read(photo(0, 40, 40), 'cat/a.jpg', {})


def test_a_mistake_in_a_worker_names_the_image(folder, tmp_path, capsys):
    status = run_cli(
        lambda: main(
            [str(folder), str(tmp_path / 'seg'), '--generator', 'annotations', '--workers', '2']
        )
    )
    assert status == 1 and 'carries no masks of its own' in capsys.readouterr().err
    make(folder, tmp_path / 'seg', 'slic')  # nothing was made: another way is free
    assert len(stored(tmp_path / 'seg')) == 12


@pytest.mark.parametrize('name', ['felzenszwalb', 'slic'])
def test_scikit_image_finds_the_parts_of_a_picture(name):
    img = np.full((60, 60, 3), 40, np.uint8)
    img[:, 30:] = (200, 60, 60)
    img[20:40, 20:40] = (60, 200, 60)
    labels = build_generator(name, {})(img, 'a', {})
    assert labels.min() == 1 and (labels.shape == np.array([60, 60])).all()
    parts = [labels[5:15, 5:15], labels[5:15, 45:55], labels[24:36, 24:36]]
    majority = [np.bincount(part.ravel()).argmax() for part in parts]
    assert len(set(majority)) == 3


def test_speed_and_real_photos(real_data, tmp_path):
    images = find_images(str(real_data('tiny_imagenet_20c_val.npz')))
    begin = time.monotonic()
    build.make(images, str(tmp_path / 'seg'), 'felzenszwalb', workers=2, shown=False)
    seconds = time.monotonic() - begin
    file = SegmentStore(tmp_path / 'seg')
    counts = [file.read(at).max() for at in file.find(i.key for i in images)]
    assert len(images) == 1000 and 3 < np.mean(counts) < 60
    assert seconds < 60, f'{seconds:.1f} s for 1,000 images of 64 px'


# ------------------------------------------------------------------------ SAM
def test_masks_are_accepted_as_the_paper_says():
    """Stability: how little the mask changes as the threshold moves by 1."""
    from mssl_plugins.segments.sam import ONNXMasks, box_of

    limits = SimpleNamespace(least_iou=0.88, least_stability=0.95)
    y, x = np.mgrid[:256, :256].astype(np.float32)
    distance = 60 - np.hypot(y - 80, x - 100)
    sharp, vague = distance * 2, distance / 8
    for logit in (sharp, vague):
        inner = outer = 0
        for value in logit[:192].ravel().tolist():  # a picture of 3 : 4
            inner, outer = inner + (value > 1), outer + (value > -1)
        mask = ONNXMasks.accept(limits, logit, 0.9, 96, 128)
        assert (mask is not None) == (inner / outer >= 0.95)
    mask = ONNXMasks.accept(limits, sharp, 0.9, 96, 128)
    wanted = np.hypot(y[:96, :128] + 0.5 - 40.25, x[:96, :128] + 0.5 - 50.25) < 30
    assert mask.shape == (96, 128) and (mask != wanted).mean() < 0.005
    assert np.abs(box_of(mask) - [20, 10, 80, 70]).max() <= 1
    assert ONNXMasks.accept(limits, sharp, 0.87, 96, 128) is None
    assert ONNXMasks.accept(limits, sharp - 1000, 0.9, 96, 128) is None


def test_wrong_weights_are_refused(tmp_path):
    from mssl_plugins.segments.sam import SAM

    with pytest.raises(ValueError, match='points_per_side'):
        SAM(str(tmp_path), points_per_side=0)
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r'mssl-plugins-openmmlab\[sam\]'):
            SAM(str(tmp_path))
    else:
        with pytest.raises(ValueError, match='one encoder and one decoder'):
            SAM(str(tmp_path))
        (tmp_path / 'a.onnx').write_bytes(b'not a model')
        with pytest.raises(ValueError, match='no whole ONNX file'):
            SAM(str(tmp_path))
    torch.save(dict(a=torch.zeros(1)), tmp_path / 'a.pth')
    with pytest.raises((ImportError, ValueError), match='pip install|no checkpoint of Segment'):
        SAM(str(tmp_path / 'a.pth'))


def test_checkpoint_of_segment_anything(tmp_path, monkeypatch):
    """The authors' package on weights in their form; random ones, so that any mask is taken.

    Of the 12 blocks of ViT-B one, a windowed one: 1,024 px take the others a minute.
    """
    segment_anything = pytest.importorskip('segment_anything')
    from segment_anything.build_sam import _build_sam

    shallow = partial(_build_sam, 768, 1, 12, [])
    monkeypatch.setitem(segment_anything.sam_model_registry, 'vit_b', shallow)
    torch.save(segment_anything.sam_model_registry['vit_b']().state_dict(), tmp_path / 'sam.pth')
    options = dict(
        weights=str(tmp_path / 'sam.pth'),
        points_per_side=1,
        pred_iou_thresh=-1e9,
        stability_score_thresh=-1.0,
        side=64,
    )
    (tmp_path / 'photos').mkdir()
    cv2.imwrite(str(tmp_path / 'photos/a.png'), photo(0))
    build.make(
        find_images(str(tmp_path / 'photos')),
        str(tmp_path / 'seg'),
        'sam',
        options,
        workers=0,
        shown=False,
    )
    file = SegmentStore(tmp_path / 'seg')
    labels = file.read(0)
    assert len(file) == 1 and labels.shape == photo(0).shape[:2] and 1 <= labels.max() <= 3
    torch.save(dict(a=torch.zeros(1)), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='no checkpoint of Segment Anything'):
        build_generator('sam', dict(weights=str(tmp_path / 'other.pth')))


def test_a_real_model_segments_real_photos(tmp_path):
    """Borders of its segments lie on edges of the photo."""
    weights = os.environ.get('MSSL_SAM', '')
    if not weights or not Path(weights).exists():
        pytest.skip(
            'no SAM-family weights: name the folder of an ONNX encoder and decoder, or a '
            'checkpoint of segment_anything, with MSSL_SAM'
        )
    pytest.importorskip('segment_anything' if weights.endswith('.pth') else 'onnxruntime')
    from mssl_plugins.datasets.scene_sources import load_photos

    (tmp_path / 'photos').mkdir()
    for i, img in enumerate((load_photos('train', 256)[1], load_photos('test', 256)[2])):
        cv2.imwrite(str(tmp_path / 'photos' / f'{i}.png'), cv2.cvtColor(img, cv2.COLOR_RGB2BGR))
    options = dict(weights=weights, points_per_side=4, stability_score_thresh=0.9, threads=1)
    make(tmp_path / 'photos', tmp_path / 'seg', 'sam', options=options)
    dataset = ImageFolder(str(tmp_path / 'photos'), pipeline=[LoadSegments(tmp_path / 'seg')])
    for sample in dataset:
        labels, img = sample['segments'], sample['img']
        assert labels.shape == img.shape[:2] and len(np.unique(labels)) > 3
        gray = cv2.GaussianBlur(cv2.cvtColor(img, cv2.COLOR_RGB2GRAY), (0, 0), 1).astype(float)
        edge = np.hypot(*np.gradient(gray))
        border = np.zeros(labels.shape, bool)
        border[1:] |= labels[1:] != labels[:-1]
        border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
        assert edge[border].mean() > 1.5 * edge[~border].mean()


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b'caf\xe9.png')
    (tmp_path / 'seg').mkdir()
    write_shard(tmp_path / 'seg/shard-000000.zip', [encode(name, np.ones((4, 4), int), photo(0))])
    (tmp_path / 'seg/segments.json').write_text(json.dumps(dict(format=FORMAT)))
    store = SegmentStore(tmp_path / 'seg')
    assert (store.find([name, '/moved/' + name, 'caf.png']) == [0, 0, -1]).all()
