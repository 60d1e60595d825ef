"""Images from disk, with what is wrong with them."""

import os
import pickle
import shutil
from pathlib import Path

import cv2
import mmpretrain.datasets
import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS as ROOT
from torch.utils.data import DataLoader

from mssl_plugins.datasets import sample_rng
from mssl_plugins.datasets.base import UnreadableImages
from mssl_plugins.datasets.folder import ImageFolder, TinyImageNet, scan
from mssl_plugins.datasets.image_io import decode, is_truncated
from mssl_plugins.datasets.packed import PackedImages
from mssl_plugins.datasets.sampler import EpochSampler, SampleIndex

DATA = Path(os.environ.get('MSSL_DATA') or Path(__file__).resolve().parents[3] / 'shared' / 'data')


def image(number=0, side=24):
    """Smooth, so that JPEG keeps it, with more red than blue."""
    ramp = np.linspace(40, 90, side)
    img = np.zeros((side, side + 2, 3))
    img[..., 0] = 120 + number % 100
    img[..., 1] = ramp[:, None]
    img[..., 2] = 10
    return img.round().astype(np.uint8)


def encoded(number=0, extension='.jpg', side=24):
    return cv2.imencode(extension, image(number, side)[..., ::-1])[1].tobytes()


def fill(folder, names, cut=()):
    """Write one image a name; those in ``cut`` lose their last third."""
    for number, name in enumerate(names):
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = encoded(number, path.suffix.lower())
        path.write_bytes(data[: len(data) * 2 // 3] if name in cut else data)


def names(data):
    return [Path(data.get_data_info(i)['img_path']).name for i in range(len(data))]


# --- decoding


def test_decodes_to_rgb():
    assert (decode(encoded(3, '.png')) == image(3)).all()
    assert abs(decode(encoded(3)).astype(int) - image(3)).max() < 12
    gray = cv2.imencode('.png', np.full((5, 4), 77, np.uint8))[1].tobytes()
    assert decode(gray).shape == (5, 4, 3)


@pytest.mark.parametrize('extension', ['.jpg', '.png', '.webp', '.bmp'])
@pytest.mark.parametrize('part', [0, 0.02, 0.3, 0.8, 0.98])
def test_truncated_is_unreadable(extension, part):
    data = encoded(0, extension, side=200)
    assert decode(data) is not None
    assert decode(data[: int(len(data) * part)]) is None


@pytest.mark.parametrize('extension', ['.jpg', '.png'])
def test_truncation_is_told_by_the_end_marker(extension):
    """Ours, whatever the version of OpenCV thinks of such a file."""
    data = encoded(0, extension, side=200)
    assert not is_truncated(data)
    assert not is_truncated(data + b'bytes behind the end')
    for cut in (1, 2, 20, len(data) // 2, len(data) - 10):
        assert is_truncated(data[:-cut]), cut
    # what a download that only reserved its space leaves behind
    assert is_truncated(data[:-40] + bytes(40))


def test_a_thumbnails_end_is_not_the_images():
    data, thumbnail = encoded(side=200), encoded(1, side=16)
    segment = b'\xff\xe1' + (len(thumbnail) + 2).to_bytes(2, 'big') + thumbnail
    with_thumbnail = data[:2] + segment + data[2:]
    assert decode(with_thumbnail) is not None
    assert is_truncated(with_thumbnail[:-100])


def test_progressive_jpeg_is_whole():
    img = image(0, 200)
    data = cv2.imencode('.jpg', img, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert decode(data) is not None
    assert is_truncated(data[:-50])


@pytest.mark.parametrize('data', [b'', b'text', b'\xff\xd8', b'\xff\xd8\xff'])
def test_no_image_is_unreadable(data):
    assert decode(data) is None


# --- folders


def test_labeled_by_subfolder(tmp_path):
    fill(tmp_path, ['b/2.png', 'b/deep/1.PNG', 'a/3.jpg'])
    (tmp_path / 'a' / 'notes.txt').write_text('no image')
    (tmp_path / 'a' / '._3.jpg').write_text('no image either')
    (tmp_path / '.cache').mkdir()
    (tmp_path / '.cache' / '4.png').write_text('nor this')
    data = ImageFolder(str(tmp_path))
    assert names(data) == ['3.jpg', '2.png', '1.PNG']
    assert data.CLASSES == ('a', 'b')
    assert data.get_gt_labels().tolist() == [0, 1, 1]
    sample = data[1]
    assert (sample['img'] == image(0)).all()
    assert sample['gt_label'] == 1 and sample['sample_idx'] == 1
    assert sample['img_shape'] == sample['ori_shape'] == (24, 26)


def test_order_is_sorted_whatever_the_file_system_says(tmp_path, monkeypatch):
    fill(tmp_path, ['a/1.png', 'a/2.png', 'b/0.png', 'c.png'])
    want = ['a/1.png', 'a/2.png', 'b/0.png', 'c.png']
    assert scan(str(tmp_path)) == want
    walk = os.walk

    def backwards(*args, **kwargs):
        for place, folders, files in walk(*args, **kwargs):
            folders.sort(reverse=True)
            yield place, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, 'walk', backwards)
    assert scan(str(tmp_path)) == want


@pytest.mark.parametrize(
    'files', [['1.png', '2.png'], ['one/1.png', 'one/2.png'], ['a/1.png', 'b/2.png', '3.png']]
)
def test_unlabeled_by_itself(tmp_path, files):
    fill(tmp_path, files)
    data = ImageFolder(str(tmp_path))
    assert len(data) == len(files) and data.CLASSES is None
    assert 'gt_label' not in data[0]


def test_labels_switched(tmp_path):
    fill(tmp_path, ['a/1.png', 'b/2.png'])
    data = ImageFolder(str(tmp_path), labels=False)
    assert 'gt_label' not in data[0] and len(data) == 2
    only = ImageFolder(str(tmp_path / 'a'))
    assert 'gt_label' not in only[0]
    fill(tmp_path, ['3.png'])
    with pytest.raises(ValueError, match='no label for 3.png'):
        ImageFolder(str(tmp_path), labels=True)
    with pytest.raises(ValueError, match='maybe'):
        ImageFolder(str(tmp_path), labels='maybe')


def test_classes_choose_and_order(tmp_path):
    fill(tmp_path, ['cat/1.png', 'dog/2.png', 'owl/3.png'])
    data = ImageFolder(str(tmp_path), classes=['owl', 'cat'])
    assert names(data) == ['1.png', '3.png']
    assert data.get_gt_labels().tolist() == [1, 0]
    with pytest.raises(ValueError, match="did you mean 'cat'"):
        ImageFolder(str(tmp_path), classes=['cats'])
    fill(tmp_path / 'flat', ['1.png'])
    with pytest.raises(ValueError, match='no label for'):
        ImageFolder(str(tmp_path / 'flat'), classes=['cat'])


def test_extensions(tmp_path):
    fill(tmp_path, ['1.png', '2.jpg'])
    assert names(ImageFolder(str(tmp_path), extensions=['.PNG'])) == ['1.png']


def test_link_to_a_folder_is_followed(tmp_path):
    fill(tmp_path / 'real', ['1.png'])
    fill(tmp_path / 'set', ['b/2.png'])
    os.symlink(tmp_path / 'real', tmp_path / 'set' / 'a')
    assert names(ImageFolder(str(tmp_path / 'set'))) == ['1.png', '2.png']


def test_empty_and_missing(tmp_path):
    with pytest.raises(ValueError, match='no image in .*[.]jpg'):
        ImageFolder(str(tmp_path))
    with pytest.raises(FileNotFoundError, match='nowhere'):
        ImageFolder(str(tmp_path / 'nowhere'))
    with pytest.raises(FileNotFoundError, match='val.txt'):
        ImageFolder(str(tmp_path), list_file='val.txt')
    with pytest.raises(ValueError, match='max_bad'):
        ImageFolder(str(tmp_path), max_bad=1.5)


def test_list_like_imagenets(tmp_path):
    """Images in one folder, labels in ``meta/val.txt``."""
    fill(tmp_path / 'val', ['x 1.png', 'y.png'])
    (tmp_path / 'meta').mkdir()
    (tmp_path / 'meta' / 'val.txt').write_text('y.png 1\n\nx 1.png 0\n')
    data = ImageFolder(str(tmp_path), 'val', list_file='meta/val.txt')
    assert names(data) == ['y.png', 'x 1.png']
    assert data.get_gt_labels().tolist() == [1, 0]
    assert (data[0]['img'] == image(1)).all()
    unlabeled = ImageFolder(str(tmp_path), 'val', list_file='meta/val.txt', labels=False)
    assert 'gt_label' not in unlabeled[0]
    with pytest.raises(ValueError, match='label 1 of y.png.*0 to 0'):
        ImageFolder(str(tmp_path), 'val', list_file='meta/val.txt', classes=['only'])


@pytest.mark.parametrize(
    'text, labels',
    [
        ('x 1.png\ny.png\n', None),
        ('x 1.png owl\ny.png cat\n', [1, 0]),
    ],
)
def test_list_with_names_or_nothing(tmp_path, text, labels):
    fill(tmp_path, ['x 1.png', 'y.png'])
    (tmp_path / 'list').write_text(text)
    data = ImageFolder(str(tmp_path), list_file='list')
    assert names(data) == ['x 1.png', 'y.png']
    assert [data[i].get('gt_label') for i in (0, 1)] == (labels or [None, None])


@pytest.mark.parametrize(
    'text, error',
    [
        ('x.png 0\ny.png\n', 'no label for y.png'),
        ('x.png -1\ny.png 0\n', 'label -1 of x.png'),
        ('', 'no image in'),
    ],
)
def test_wrong_list(tmp_path, text, error):
    (tmp_path / 'list').write_text(text)
    with pytest.raises(ValueError, match=error):
        ImageFolder(str(tmp_path), list_file='list')


# --- unreadable images


def many(tmp_path, count=60, bad=(7, 31), extension='png'):
    files = [f'{i:03d}.{extension}' for i in range(count)]
    fill(tmp_path, files, [files[i] for i in bad])
    return files


@pytest.mark.parametrize('extension', ['jpg', 'png'])
def test_replacement_is_whole_and_always_the_same(tmp_path, extension):
    many(tmp_path, extension=extension)

    def take(order):
        data = ImageFolder(str(tmp_path), max_bad=0.1)
        return {i: data[i] for i in order}

    first, second = take(range(60)), take(reversed(range(60)))
    for i in range(60):
        assert first[i]['sample_idx'] == second[i]['sample_idx']
        assert (first[i]['img'] == second[i]['img']).all()
        assert (first[i]['sample_idx'] == i) == (i not in (7, 31))
    replacement = first[7]
    assert replacement['img_path'] == first[replacement['sample_idx']]['img_path']


def test_replacement_keeps_seed_and_epoch(tmp_path):
    many(tmp_path)
    index = ImageFolder(str(tmp_path), max_bad=0.1)[SampleIndex(7, 5, 3)]['sample_idx']
    assert index not in (7, 31) and (index.seed, index.epoch) == (5, 3)
    assert type(sample_rng(dict(sample_idx=index)).random()) is float


def test_stops_above_one_in_a_hundred(tmp_path):
    many(tmp_path, count=100, bad=(20,))
    data = ImageFolder(str(tmp_path))
    assert len([data[i] for i in range(100)]) == 100
    (tmp_path / '050.png').write_bytes(b'')
    for i in range(50):
        data[i]
    with pytest.raises(UnreadableImages) as error:
        data[50]
    message = str(error.value)
    assert '2 of 100' in message and '\n' not in message
    assert '020.png' in message and '050.png' in message


def test_the_same_image_counts_once(tmp_path):
    many(tmp_path, count=100, bad=(20,))
    data = ImageFolder(str(tmp_path))
    for _ in range(5):
        data[20]


def test_vanished_file_is_unreadable(tmp_path):
    many(tmp_path, bad=())
    data = ImageFolder(str(tmp_path), max_bad=0.1)
    (tmp_path / '003.png').unlink()
    assert data[3]['sample_idx'] != 3


def test_nothing_readable_ends(tmp_path):
    fill(tmp_path, ['1.png', '2.png'], cut=['1.png', '2.png'])
    data = ImageFolder(str(tmp_path), max_bad=1.0)
    with pytest.raises(UnreadableImages, match='2 of 2'):
        data[0]


def test_workers_count_together(tmp_path):
    """Each of two workers meets one, which alone would be allowed."""
    many(tmp_path, count=100, bad=(0, 1))
    data = ImageFolder(str(tmp_path), pipeline=[lambda r: int(r['sample_idx'])])
    loader = DataLoader(data, batch_size=1, num_workers=2)
    with pytest.raises(UnreadableImages, match='2 of 100'):
        list(loader)


def test_workers_replace_alike(tmp_path):
    many(tmp_path)
    data = ImageFolder(str(tmp_path), max_bad=0.1, pipeline=[lambda r: int(r['sample_idx'])])
    runs = [
        torch.cat(list(DataLoader(data, 7, sampler=EpochSampler(data, seed=1), num_workers=n)))
        for n in (0, 2)
    ]
    assert (runs[0] == runs[1]).all()


def test_subset_has_its_own_count(tmp_path):
    many(tmp_path)
    data = ImageFolder(str(tmp_path), max_bad=0.1)
    data[7]
    subset = data.get_subset(list(range(7, 40)))
    assert subset[0]['sample_idx'] != 0 and subset[1]['sample_idx'] == 1
    data.get_subset_(list(range(8)))
    assert len(data) == 8
    with pytest.raises(UnreadableImages, match='1 of 8'):
        data[7]


# --- layouts


def tiny(root):
    for wnid in ('n02', 'n01'):
        fill(root / 'train' / wnid / 'images', [f'{wnid}_{i}.JPEG' for i in range(2)])
        (root / 'train' / wnid / f'{wnid}_boxes.txt').write_text('')
    fill(root / 'val' / 'images', ['val_0.JPEG', 'val_1.JPEG'])
    (root / 'val' / 'val_annotations.txt').write_text(
        'val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t52\t55\t57\t59\n'
    )
    fill(root / 'test' / 'images', ['test_0.JPEG'])
    (root / 'wnids.txt').write_text('n02\nn01\n')


def test_tiny_imagenet(tmp_path):
    tiny(tmp_path)
    train, val = TinyImageNet(str(tmp_path)), TinyImageNet(str(tmp_path), split='val')
    assert train.CLASSES == val.CLASSES == ('n01', 'n02')
    assert train.get_gt_labels().tolist() == [0, 0, 1, 1]
    assert names(val) == ['val_0.JPEG', 'val_1.JPEG']
    assert val.get_gt_labels().tolist() == [1, 0]
    assert val[0]['img'].shape == (24, 26, 3)
    with pytest.raises(ValueError, match="did you mean 'train'"):
        TinyImageNet(str(tmp_path), split='trian')
    with pytest.raises(FileNotFoundError, match='wnids.txt'):
        TinyImageNet(str(tmp_path / 'val'))


def test_imagenet_in_folders(tmp_path):
    fill(tmp_path / 'train', ['n02/n02_1.JPEG', 'n01/n01_5.JPEG'])
    fill(tmp_path / 'val', ['n02/val_1.JPEG', 'n01/val_2.JPEG'])
    for split in ('train', 'val'):
        data = ImageFolder(str(tmp_path), split)
        assert data.CLASSES == ('n01', 'n02')
        assert data.get_gt_labels().tolist() == [0, 1]


@pytest.mark.parametrize(
    'name, key, files',
    [
        ('CIFAR10', 'labels', ['data_batch_1', 'test_batch']),
        ('CIFAR100', 'fine_labels', ['train', 'test']),
    ],
)
def test_mmpretrains_cifar_follows_our_convention(tmp_path, name, key, files):
    """uint8 (32, 32, 3) RGB in ``img``, nothing to load."""
    base = getattr(mmpretrain.datasets, name)

    class Small(base):
        train_list = [[files[0], None]]
        test_list = [[files[1], None]]

    img = np.zeros((3, 32, 32), np.uint8)
    img[0] = 200  # the first plane on disk is red
    img[2, 5, 7] = 9
    (tmp_path / base.base_folder).mkdir()
    for file in files:
        (tmp_path / base.base_folder / file).write_bytes(
            pickle.dumps({'data': img.reshape(1, -1), key: [3]})
        )
    sample = Small(data_root=str(tmp_path), download=False)[0]
    assert sample['img'].dtype == np.uint8
    assert sample['img'].shape == (32, 32, 3)
    assert sample['img'][0, 0].tolist() == [200, 0, 0]
    assert sample['img'][5, 7].tolist() == [200, 0, 9]
    assert sample['gt_label'] == 3
    # the published files are recognized by their checksum before unpickling
    assert all(md5 for _, md5 in base.train_list + base.test_list)


# --- packed images


def pack(path, count=6, cut=(), **extra):
    blobs = [encoded(i, side=20) for i in range(count)]
    blobs = [b[:-9] if i in cut else b for i, b in enumerate(blobs)]
    np.savez(
        path,
        data=np.frombuffer(b''.join(blobs), np.uint8),
        off=np.cumsum([0] + [len(b) for b in blobs]),
        **extra,
    )
    return str(path)


@pytest.mark.parametrize('cache', [True, False])
def test_packed(tmp_path, cache):
    boxes = np.arange(24).reshape(6, 4).astype(np.int16)
    file = pack(tmp_path / 'p.npz', label=np.arange(6) % 2, classes=['a', 'b'], box=boxes)
    data = PackedImages(file, cache=cache)
    assert len(data) == 6 and data.CLASSES == ('a', 'b')
    for i in range(6):
        sample = data[i]
        assert (sample['img'] == decode(encoded(i, side=20))).all()
        assert sample['gt_label'] == i % 2
        assert sample['gt_bboxes'].dtype == np.float32
        assert sample['gt_bboxes'].tolist() == [boxes[i].tolist()]
        assert sample['gt_bboxes_labels'].tolist() == [i % 2]
    data[0]['img'][:] = 0
    assert data[0]['img'].any()


def test_packed_without_labels_and_below_a_root(tmp_path):
    pack(tmp_path / 'p.npz')
    sample = PackedImages('p.npz', data_root=str(tmp_path))[2]
    assert 'gt_label' not in sample and 'gt_bboxes' not in sample


def test_packed_subsets_and_cache(tmp_path):
    file = pack(tmp_path / 'p.npz', label=np.arange(6))
    data = PackedImages(file, indices=[4, 1])
    assert len(data._cached) == 2
    assert (data[0]['img'] == decode(encoded(4, side=20))).all()
    assert data[1]['gt_label'] == 1
    assert not PackedImages(file, cache_mib=0)._cached
    small = data.get_subset([1])
    assert (small[0]['img'] == decode(encoded(1, side=20))).all()


def test_packed_truncated_is_replaced(tmp_path):
    file = pack(tmp_path / 'p.npz', cut=(2,))
    for cache in (True, False):
        assert PackedImages(file, cache=cache, max_bad=0.5)[2]['sample_idx'] != 2
        with pytest.raises(UnreadableImages, match='1 of 6'):
            PackedImages(file, cache=cache)[2]


class Evil:
    def __reduce__(self):
        return os.mkdir, ('evil',)


def test_packed_wrong_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match='none.npz'):
        PackedImages('none.npz')
    Path('text.npz').write_text('no archive')
    np.savez('other.npz', x=[1])
    shutil.copy(pack('whole.npz'), 'cut.npz')
    os.truncate('cut.npz', 900)
    np.savez('evil.npz', data=np.array([Evil()], object), off=[0, 1])
    np.save('array', np.zeros(3))
    for name in ('text.npz', 'other.npz', 'cut.npz', 'evil.npz', 'array.npy'):
        with pytest.raises(ValueError, match='no whole file of packed images'):
            PackedImages(name)
    assert not Path('evil').exists()
    np.savez('empty.npz', data=np.zeros(0, np.uint8), off=[0])
    with pytest.raises(ValueError, match='no image'):
        PackedImages('empty.npz')


@pytest.mark.skipif(
    not (DATA / 'tiny_imagenet_20c_val.npz').exists(),
    reason=f'no real images in {DATA} (set MSSL_DATA)',
)
def test_real_packed_images():
    data = PackedImages('tiny_imagenet_20c_val.npz', data_root=str(DATA))
    assert len(data) == 1000 and len(data.CLASSES) == 20
    assert np.bincount(data.get_gt_labels()).tolist() == [50] * 20
    sample = data[0]
    assert sample['img'].shape == (64, 64, 3) and sample['img'].std() > 5
    assert sample['gt_bboxes'].shape == (1, 4)


@pytest.mark.parametrize('name', ['ImageFolder', 'TinyImageNet', 'PackedImages'])
def test_found_by_prefix(name):
    assert ROOT.get(f'mssl_plugins.{name}').__name__ == name
