"""Images in shards are those of the folder that was packed: pixels, labels, segments, order."""

import importlib.util
import io
import json
import pickle
import shutil
import tarfile

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image
from torch.utils.data import DataLoader

import datasets
from helpers.bands import make_band_folder
from helpers.messy import photo
from mssl_plugins.datasets import listing
from mssl_plugins.datasets.base import UnreadableImages
from mssl_plugins.datasets.folder import ImageFolder
from mssl_plugins.datasets.image_shards import ImageShards
from mssl_plugins.datasets.inspection import set_at, source_of
from mssl_plugins.datasets.sampler import EpochSampler
from mssl_plugins.errors import UserError
from mssl_plugins.pack import FORMATS, pack
from mssl_plugins.preflight import survey
from mssl_plugins.segments.build import make
from mssl_plugins.segments.image_set import find_images
from mssl_plugins.segments.transform import LoadSegments

IMAGES, CUT = 20, 'b/07.jpg'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Two classes, a name with a dot, two files that differ in their suffix alone."""
    root, rng = tmp_path_factory.mktemp('images') / 'mine', np.random.default_rng(0)
    for place in 'ab':
        (root / place).mkdir(parents=True)
        for i in range(IMAGES // 2 - 1):
            Image.fromarray(photo(rng, 40 + i, 32)).save(root / place / f'{i:02}.jpg')
    Image.fromarray(photo(rng, 40, 32)).save(root / 'a/00.png')
    Image.fromarray(photo(rng, 44, 30)).save(root / 'b/v1.2 x.jpg')
    return root


@pytest.fixture(scope='module')
def store(folder, tmp_path_factory):
    found = tmp_path_factory.mktemp('segments') / 'store'
    make(find_images(str(folder)), str(found), 'slic', shown=False)
    return str(found)


@pytest.fixture(scope='module')
def shards(folder, store, tmp_path_factory):
    """The folder, packed in a format, with segments; seven images a shard."""
    known = {}

    def of(form):
        if form not in known:
            known[form] = tmp_path_factory.mktemp(form) / 'out'
            pack(str(folder), str(known[form]), form, images=7, segments=store)
        return known[form]

    return of


@pytest.mark.parametrize('form', FORMATS)
def test_samples_are_those_of_the_folder(folder, shards, store, form):
    own, packed = ImageFolder(str(folder)), ImageShards(str(shards(form)), segments=True)
    assert len(packed) == len(own) == IMAGES and packed.CLASSES == own.CLASSES == ('a', 'b')
    made = {image.key: image for image in find_images(str(folder))}
    by_pixels = {own[i]['img'].tobytes(): own[i] for i in range(IMAGES)}
    assert len(by_pixels) == len(made) == IMAGES
    load = LoadSegments(store)
    for i in range(IMAGES):
        sample = packed[i]
        peer = load(dict(by_pixels.pop(sample['img'].tobytes())))
        assert sample['gt_label'] == peer['gt_label'] and sample['sample_idx'] == i
        assert (sample['segments'] == peer['segments']).all() and sample['segments'].max() > 1
        assert sample['img_path'].startswith(str(shards(form)))
    assert not by_pixels


def indices(loader) -> list:
    return [int(i) for batch in loader for i in batch]


@pytest.mark.parametrize('form', FORMATS)
def test_workers_processes_and_resuming(shards, form):
    """Every image once in an epoch over two processes of two workers; a resumed one goes on."""
    data = ImageShards(str(shards(form)))
    data[0]  # has opened a shard in this process
    seen = []
    for rank in range(2):
        sampler = EpochSampler(data, seed=3)
        sampler.rank, sampler.world_size = rank, 2
        order = [int(i) for i in sampler]
        found = indices(DataLoader(Positions(data), 2, sampler=order, num_workers=2))
        assert found == order and found == sorted(found, key=order.index)
        resumed = DataLoader(Positions(data), 2, sampler=order[4:], num_workers=0)
        assert indices(resumed) == found[4:]
        seen += found
    assert len(set(seen)) == IMAGES
    copied = pickle.loads(pickle.dumps(data))  # as workers get it that are spawned
    assert (copied[5]['img'] == data[5]['img']).all()


class Positions(torch.utils.data.Dataset):
    """The index of each sample that is decoded."""

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        sample = self.data[index]
        assert sample['img'].std() > 0
        return sample['sample_idx']


@pytest.mark.parametrize('form', FORMATS)
def test_unreadable_images_are_counted_and_replaced(folder, tmp_path, form):
    shutil.copytree(folder, tmp_path / 'mine')
    file = tmp_path / 'mine' / CUT
    file.write_bytes(file.read_bytes()[:200])
    pack(str(tmp_path / 'mine'), str(tmp_path / 'out'), form)
    data = ImageShards(str(tmp_path / 'out'), max_bad=0.1)
    assert all(data[i]['img'].std() > 0 for i in range(IMAGES))
    (bad,) = data.unreadable().nonzero()[:, 0].tolist()
    assert data.get_data_info(bad)['img_path'].endswith('b/07.jpg')
    with pytest.raises(UnreadableImages, match='1 of 20 images are unreadable'):
        ImageShards(str(tmp_path / 'out'), max_bad=0.01)[bad]
    found = survey(str(tmp_path / 'out'), source=source_of(set_at(str(tmp_path / 'out'))))
    assert len(found.used) == IMAGES - 1 and found.faulty[0].fault == 'truncated'


@pytest.mark.parametrize('form', FORMATS)
def test_bands_in_shards(tmp_path, form):
    images = make_band_folder(tmp_path / 'mine', 13, 16, number=5)
    pack(str(images), str(tmp_path / 'out'), form, channels=13)
    own = ImageFolder(str(images), channels=13, bits=16)
    packed = ImageShards(str(tmp_path / 'out'), channels=13, bits=16)
    assert all((own[i]['img'] == packed[i]['img']).all() for i in range(5))


@pytest.mark.parametrize('form', FORMATS)
def test_damaged_shards_get_one_line(shards, tmp_path, form):
    shutil.copytree(shards(form), tmp_path / 'out')
    shard = tmp_path / 'out' / f'images-00001.{form}'
    data = shard.read_bytes()
    shard.write_bytes(data[: len(data) // 3])
    with pytest.raises(ValueError, match='images-00001') as said:
        ImageShards(str(tmp_path / 'out'))
    assert '\n' not in str(said.value)
    shard.write_bytes(b'no shard at all' * 100)
    with pytest.raises(ValueError, match='images-00001'):
        ImageShards(str(tmp_path / 'out'))


def test_wrong_arguments(folder, shards, tmp_path):
    for given, says in (
        (dict(segments='yes'), 'segments'),
        (dict(shards='*.zip'), 'no shard in'),
        (dict(list_file='none.txt'), 'no list'),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=says):
            ImageShards(str(shards('tar')), **given)
    with pytest.raises(ValueError, match="'photo'"):
        ImageShards(str(shards('parquet')), image='photo')
    with pytest.raises(FileNotFoundError):
        ImageShards(str(tmp_path / 'nowhere'))
    (tmp_path / 'x.tar.gz').touch()
    with pytest.raises(ValueError, match='is compressed.*unpack it to .tar'):
        set_at(str(tmp_path))
    (tmp_path / 'y.zip').touch()
    with pytest.raises(ValueError, match='a folder, or a file that ends with .tar'):
        set_at(str(tmp_path / 'y.zip'))


def test_images_without_segments_are_named_or_allowed(folder, tmp_path):
    pack(str(folder), str(tmp_path / 'out'))
    with pytest.raises(ValueError, match='20 of 20 images have no segments beside them'):
        ImageShards(str(tmp_path / 'out'), segments=True)
    assert not ImageShards(str(tmp_path / 'out'), segments='some')[0]['segments'].any()


@pytest.mark.parametrize('form, module', [('parquet', 'pyarrow'), ('lmdb', 'lmdb')])
def test_a_missing_library_is_named(shards, monkeypatch, form, module):
    place, real = str(shards(form)), importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: None if name == module else real(name)
    )
    with pytest.raises(UserError, match=rf"^{module} is not installed: pip install '.*\[shards\]'"):
        ImageShards(place)


# --- a stranger's files


def test_names_of_a_tar_lead_nowhere(tmp_path):
    image = io.BytesIO()
    Image.fromarray(photo(np.random.default_rng(0), 40, 32)).save(image, 'JPEG')
    with tarfile.open(tmp_path / 'x.tar', 'w') as tar:
        for name in ('../../up.jpg', '/etc/abs.jpg', 'a\nb.jpg'):
            info = tarfile.TarInfo(name)
            info.size = len(image.getvalue())
            tar.addfile(info, io.BytesIO(image.getvalue()))
        link = tarfile.TarInfo('link.jpg')
        link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
        tar.addfile(link)
    data = ImageShards(str(tmp_path))
    paths = [data.get_data_info(i)['img_path'] for i in range(len(data))]
    assert paths == [f'{tmp_path}/x.tar/{name}' for name in ('up.jpg', 'etc/abs.jpg', 'a_b.jpg')]


# --- the layouts of others


def test_webdataset_reads_what_is_packed_and_is_read(folder, shards, tmp_path):
    urls = sorted(map(str, shards('tar').glob('*.tar')))
    rows = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(rows) == IMAGES and all({'cls', 'segments.png'} <= set(row) for row in rows)
    with webdataset.TarWriter(str(tmp_path / 'theirs.tar')) as sink:
        for i, row in enumerate(rows):
            image = row.get('jpg') or row['png']
            sink.write({'__key__': f'{i:04}', 'jpg': image, 'cls': i % 3})
    data = ImageShards(str(tmp_path), labels=True)
    assert [data[i]['gt_label'] for i in range(IMAGES)] == [i % 3 for i in range(IMAGES)]


@pytest.mark.parametrize('form', ['parquet', 'arrow'])
def test_hugging_faces_datasets_reads_what_is_packed_and_is_read(folder, shards, tmp_path, form):
    files = sorted(map(str, shards(form).glob(f'*.{form}')))
    cache = str(tmp_path / 'cache')
    table = datasets.load_dataset(form, data_files=files, split='train', cache_dir=cache)
    own = ImageShards(str(shards(form)))
    assert table.features['label'].names == ['a', 'b'] and len(table) == IMAGES
    assert (np.asarray(table[3]['image'].convert('RGB')) == own[3]['img']).all()
    theirs = tmp_path / 'theirs'
    if form == 'parquet':
        theirs.mkdir()
        table.to_parquet(str(theirs / 'train-00000-of-00001.parquet'))
    else:
        table.save_to_disk(str(theirs))
    back = ImageShards(str(theirs))
    assert len(back) == IMAGES and back.CLASSES == ('a', 'b')
    assert all((back[i]['img'] == own[i]['img']).all() for i in range(IMAGES))
    assert all(back[i]['gt_label'] == own[i]['gt_label'] for i in range(IMAGES))


def test_the_index_of_a_large_set_is_kept(shards, tmp_path, monkeypatch):
    """Below 10,000 images none is; then a changed shard is read anew."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(listing, 'LEAST', 10)
    monkeypatch.setattr(listing, 'SETTLED', 0)
    data = ImageShards(str(shards('tar')))
    files = list((tmp_path / 'cache').rglob('*'))
    assert any(file.is_file() for file in files)
    monkeypatch.setattr(ImageShards, 'find', None)
    again = ImageShards(str(shards('tar')))
    assert [again.get_data_info(i) for i in range(IMAGES)] == [
        data.get_data_info(i) for i in range(IMAGES)
    ]


def test_a_plan_says_what_a_folder_holds(shards):
    assert json.loads((shards('tar') / 'pack.json').read_text())['total'] == IMAGES


def test_nothing_to_survey_is_said(tmp_path):
    with pytest.raises((UserError, ValueError), match='no image'):
        survey(str(tmp_path))


def test_a_folder_of_arrays_is_no_folder_of_shards(tmp_path):
    """If arrays are images, that is with ``channels``; else they lie beside the shards."""
    for name in ('a.npy', 'meta.parquet'):
        (tmp_path / name).write_bytes(b'')
    assert set_at(str(tmp_path), 4, 16)['type'] == 'mssl_plugins.ImageFolder'
    assert set_at(str(tmp_path))['type'] == 'mssl_plugins.ImageShards'
