"""Segments on their way into the views, and segments that are not the images'."""

import json
import pickle
import shutil

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from helpers.segment_sets import make, photo
from mssl_plugins.datasets import ImageFolder, PackedImages, SampleIndex, Scenes
from mssl_plugins.datasets.transforms import PackViews, Views
from mssl_plugins.segments import LoadSegments
from mssl_plugins.segments.base import Generator
from mssl_plugins.segments.generators import GENERATORS
from mssl_plugins.segments.store import FORMAT, SegmentStore, encode, write_shard


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


def test_the_image_and_its_segments_stay_together(folder, tmp_path):
    """Segments drawn from the image itself, cut by the same views."""

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
