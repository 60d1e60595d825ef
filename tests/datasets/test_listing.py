"""Listings that are kept: the same samples as a fresh scan, and never an old one."""

import json
import os
import time

import pytest

from mssl_plugins.datasets import ImageFolder, listing
from mssl_plugins.datasets.labelled import LabelledImages


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, and sets of any size kept in it."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(listing, 'LEAST', 1)
    return tmp_path / 'cache' / 'mssl_plugins' / 'listings'


def fill(folder, names, age=60):
    """Empty files, in folders that were last written ``age`` seconds ago."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    grow_old(folder, age)
    return folder


def grow_old(folder, age=60):
    then = time.time() - age
    for path in [folder, *folder.rglob('*')]:
        os.utime(path, (then, then))


def samples(data):
    """Everything that a sample knows of itself."""
    return [data.get_data_info(i) for i in range(len(data))]


NAMES = ['a/1.png', 'a/deep/2.jpg', 'b/ü 3.png', 'b/new\nline.png']


def scans(monkeypatch):
    """Counts the calls of ``scan``."""
    calls = []
    real = ImageFolder.find

    def find(self, stamps):
        calls.append(self.img_prefix)
        return real(self, stamps)

    monkeypatch.setattr(ImageFolder, 'find', find)
    return calls


@pytest.mark.parametrize('labels', [True, False, 'auto'])
def test_the_second_start_maps_what_the_first_found(tmp_path, monkeypatch, cache, labels):
    folder = fill(tmp_path / 'set', NAMES)
    plain = ImageFolder(str(folder), labels=labels, serialize_data=False)
    calls = scans(monkeypatch)
    first, second = (ImageFolder(str(folder), labels=labels) for _ in range(2))
    assert len(calls) == 1 and len(list(cache.iterdir())) == 1
    assert samples(first) == samples(second) == samples(plain)
    assert second.CLASSES == first.CLASSES == plain.CLASSES
    assert not second.data_bytes.flags.writeable and not second.data_bytes.flags.owndata
    assert second.get_data_info(-1) == plain.get_data_info(-1)


def test_names_that_are_not_utf8(tmp_path, monkeypatch):
    folder = fill(tmp_path / 'set', NAMES)
    odd = os.fsencode(folder) + b'/a/\xff\xfe.png'
    open(odd, 'wb').close()
    grow_old(folder)
    calls = scans(monkeypatch)
    for _ in range(2):
        data = ImageFolder(str(folder))
        assert odd in [os.fsencode(info['img_path']) for info in samples(data)]
    assert len(calls) == 1


@pytest.mark.parametrize(
    'change',
    [
        lambda folder: (folder / 'a' / 'deep' / 'more.png').touch(),
        lambda folder: (folder / 'a' / '1.png').unlink(),
        lambda folder: (folder / 'a' / '1.png').rename(folder / 'a' / 'other.png'),
        lambda folder: (folder / 'c').mkdir() or (folder / 'c' / '1.png').touch(),
        lambda folder: (folder / 'b').rename(folder / 'z'),
    ],
)
def test_a_changed_folder_is_listed_anew(tmp_path, monkeypatch, change):
    folder = fill(tmp_path / 'set', NAMES)
    calls = scans(monkeypatch)
    ImageFolder(str(folder))
    change(folder)
    data = ImageFolder(str(folder))
    assert len(calls) == 2
    assert samples(data) == samples(ImageFolder(str(folder), serialize_data=False))


def test_a_set_that_is_being_written_is_not_kept(tmp_path, cache):
    folder = fill(tmp_path / 'set', NAMES, age=0)
    ImageFolder(str(folder))
    assert not cache.exists()


def test_small_sets_are_not_kept(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(listing, 'LEAST', len(NAMES) + 1)
    ImageFolder(str(fill(tmp_path / 'set', NAMES)))
    assert not cache.exists()


def test_lists_and_their_labels(tmp_path, monkeypatch):
    folder = fill(tmp_path / 'set', NAMES[:3])
    rows = folder / 'list.txt'
    rows.write_text('b/ü 3.png 2\na/1.png 0\na/deep/2.jpg 1\n')
    grow_old(folder)
    calls = scans(monkeypatch)
    first, second = (ImageFolder(str(folder), list_file='list.txt') for _ in range(2))
    assert samples(first) == samples(second) and len(calls) == 1
    assert [info['gt_label'] for info in samples(second)] == [2, 0, 1]
    rows.write_text('b/ü 3.png 1\na/1.png 0\n')
    third = ImageFolder(str(folder), list_file='list.txt')
    assert [info['gt_label'] for info in samples(third)] == [1, 0] and len(calls) == 2


def test_each_way_to_read_a_folder_has_its_own_listing(tmp_path):
    folder = fill(tmp_path / 'set', NAMES)
    ImageFolder(str(folder))
    only = ImageFolder(str(folder), classes=['b'])
    assert [info['gt_label'] for info in samples(only)] == [0, 0]
    assert len(ImageFolder(str(folder), extensions=['.jpg'])) == 1
    assert len(ImageFolder(str(folder / 'a'))) == 2


@pytest.mark.parametrize('indices', [2, -2, [3, 0], 0])
def test_parts_are_those_of_mmengine(tmp_path, indices):
    folder = fill(tmp_path / 'set', NAMES)
    ImageFolder(str(folder))
    plain = ImageFolder(str(folder), serialize_data=False, indices=indices)
    assert samples(ImageFolder(str(folder), indices=indices)) == samples(plain)
    if indices:
        whole = ImageFolder(str(folder)).get_subset([1, 3])
        assert [info['img_path'] for info in samples(whole)] == [
            str(folder / sorted(NAMES)[i]) for i in (1, 3)
        ]


@pytest.mark.parametrize('cut', [0, 10, 60, -1])
def test_a_damaged_listing_is_made_anew(tmp_path, monkeypatch, cache, cut):
    folder = fill(tmp_path / 'set', NAMES)
    want = samples(ImageFolder(str(folder)))
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:cut])
    calls = scans(monkeypatch)
    assert samples(ImageFolder(str(folder))) == want and len(calls) == 1


def test_a_listing_of_another_set_under_the_same_name_is_not_taken(tmp_path, cache):
    folder = fill(tmp_path / 'set', NAMES)
    want = samples(ImageFolder(str(folder)))
    (file,) = cache.iterdir()
    content = file.read_bytes()
    file.write_bytes(
        content.replace(json.dumps(str(folder)).encode(), b'"' + b'x' * len(str(folder)) + b'"')
    )
    assert file.read_bytes() != content
    assert samples(ImageFolder(str(folder))) == want


def test_tiny_imagenet_by_a_list(tmp_path):
    folder = fill(tmp_path / 'set', ['train/n1/images/1.JPEG', 'train/n2/images/2.JPEG'])
    (folder / 'wnids.txt').write_text('n1\nn2\n')
    (folder / 'part.txt').write_text('n2/images/2.JPEG n2\nn1/images/1.JPEG n1\n')
    grow_old(folder)
    for _ in range(2):
        whole = LabelledImages(str(folder), 'train')
        part = LabelledImages(str(folder), 'train', list_file='part.txt')
        assert [info['gt_label'] for info in samples(whole)] == [0, 1]
        assert [info['gt_label'] for info in samples(part)] == [1, 0]
