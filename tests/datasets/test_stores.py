"""Images of a store behind one of MMEngine's file back ends: a server, an LMDB, one's own."""

import functools
import http.server
import threading

import cv2
import lmdb
import numpy as np
import pytest
from mmengine.fileio import BaseStorageBackend, register_backend
from torch.utils.data import DataLoader

from helpers.messy import photo
from mssl_plugins.datasets.base import UnreadableImages
from mssl_plugins.datasets.folder import ImageFolder

NAMES = [f'a/{i}.png' for i in range(6)] + ['b/6.png']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp('store')
    rng = np.random.default_rng(0)
    for name in NAMES:
        (root / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(root / name), photo(rng, 40, 32))
    (root / 'list.txt').write_text(''.join(f'{name} {name[0]}\n' for name in NAMES))
    return root


@pytest.fixture(scope='module')
def server(folder):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{served.server_port}'
        served.shutdown()
        thread.join()


@pytest.fixture
def in_lmdb(folder, tmp_path):
    with (
        lmdb.open(str(tmp_path / 'all'), map_size=1 << 24) as env,
        env.begin(write=True) as changes,
    ):
        for name in (*NAMES, 'list.txt'):
            changes.put(name.encode(), (folder / name).read_bytes())
    return str(tmp_path / 'all')


def same(data, folder, workers=2):
    """Pixels and labels are those of the files, in this process and in workers."""
    own = ImageFolder(str(folder), list_file='list.txt')
    assert data.CLASSES == own.CLASSES == ('a', 'b')
    loader = DataLoader(data, None, num_workers=workers)
    for sample, again, peer in zip(loader, data, own):
        assert (np.asarray(sample['img']) == peer['img']).all()
        assert (again['img'] == peer['img']).all()
        assert sample['gt_label'] == peer['gt_label']
    assert len(data) == len(NAMES)


def test_a_server(folder, server):
    same(ImageFolder(server, list_file='list.txt', backend_args=dict(backend='http')), folder)


def test_an_lmdb(folder, in_lmdb):
    args = dict(backend='lmdb', db_path=in_lmdb)
    data = ImageFolder('', list_file='list.txt', backend_args=args)
    same(data, folder)


def test_a_list_here_of_files_there(folder, server, tmp_path):
    (tmp_path / 'mine.txt').write_text('b/6.png\na/0.png\n')
    args = dict(backend='http')
    data = ImageFolder(server, list_file=str(tmp_path / 'mine.txt'), backend_args=args)
    assert [len(data), data[0]['img'].shape] == [2, (32, 40, 3)]


def test_a_back_end_of_ones_own(folder):
    class Mine(BaseStorageBackend):
        def __init__(self, folder):
            self.folder = folder

        def get(self, filepath):
            return (self.folder / filepath.removeprefix('mine://bucket/')).read_bytes()

        def get_text(self, filepath, encoding='utf-8'):
            return self.get(filepath).decode(encoding)

    register_backend('mine', Mine, force=True)
    args = dict(backend='mine', folder=folder)
    same(ImageFolder('mine://bucket', list_file='list.txt', backend_args=args), folder)


def test_files_that_are_not_there_are_counted(folder, server, tmp_path):
    (tmp_path / 'some.txt').write_text(''.join(f'{name}\n' for name in (*NAMES, 'a/gone.png')))
    given = dict(list_file=str(tmp_path / 'some.txt'), backend_args=dict(backend='http'))
    data = ImageFolder(server, max_bad=0.2, **given)
    assert data[len(NAMES)]['img_path'] != f'{server}/a/gone.png'
    assert int(data.unreadable().sum()) == 1
    with pytest.raises(UnreadableImages, match='1 of 8 images'):
        ImageFolder(server, **given)[len(NAMES)]


def test_wrong_arguments(folder, server, in_lmdb):
    with pytest.raises(ValueError, match="backend of backend_args.*'htp'|'htp'.*http"):
        ImageFolder(server, list_file='list.txt', backend_args=dict(backend='htp'))
    with pytest.raises(ValueError, match='a store is not searched, name its files by list_file'):
        ImageFolder(server, backend_args=dict(backend='http'))
    with pytest.raises(FileNotFoundError, match='no list .*none.txt .*404'):
        ImageFolder(server, list_file='none.txt', backend_args=dict(backend='http'))
    args = dict(backend='lmdb', db_path=in_lmdb)
    with pytest.raises(FileNotFoundError, match='no list none.txt .lmdb has no such file'):
        ImageFolder('', list_file='none.txt', backend_args=args)
