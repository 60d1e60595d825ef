"""Segment stores that a disk or a stranger damaged: one line that names the file."""

import json
import os
import zipfile

import cv2
import numpy as np
import pytest

from mssl_plugins.segments.build import make
from mssl_plugins.segments.generators import recipe
from mssl_plugins.segments.image_set import find_images
from mssl_plugins.segments.store import SegmentStore, encode, read_shard, write_shard
from mssl_plugins.segments.writer import ShardWriter

INDEX = json.dumps(
    dict(format='mssl_plugins segments 1', generator='slic', options=recipe('slic', {}), images=3)
)


@pytest.fixture
def store(tmp_path):
    """A store of three images."""
    img = np.full((8, 8, 3), 90, np.uint8)
    labels = np.arange(64).reshape(8, 8) % 5
    write_shard(tmp_path / 'shard-000000.zip', [encode(f'{i}.png', labels, img) for i in range(3)])
    (tmp_path / 'segments.json').write_text(INDEX)
    return tmp_path


def rewrite(store, comment=None, data=None, **options):
    """The same shard with another middle member."""
    path = store / 'shard-000000.zip'
    with zipfile.ZipFile(path) as archive:
        kept = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(path, 'w') as archive:
        for number, (info, content) in enumerate(kept):
            if number == 1:
                info.comment = info.comment if comment is None else comment
                info.compress_type = options.get('compress', zipfile.ZIP_STORED)
            archive.writestr(info, data if data is not None and number == 1 else content)
    return path


CELLS = b'5a' * 16


@pytest.mark.parametrize(
    'comment',
    [
        b'',
        b'8 8',
        b'8 x ' + CELLS,
        b'8 8 zz',
        b'8 8 5a',
        b'-8 -8 ' + CELLS,
        b'0 0 ' + CELLS,
        b'9' * 30 + b' 8 ' + CELLS,
    ],
)
def test_a_member_that_does_not_say_its_image(store, comment):
    path = rewrite(store, comment)
    with pytest.raises(ValueError, match=f'{path} is truncated, or no shard .*of 1.png'):
        SegmentStore(store)


def test_a_compressed_member_may_be_a_bomb(store):
    path = rewrite(store, data=bytes(10**6), compress=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=f'{path} is truncated, or no shard'):
        read_shard(path)


def huge_png():
    png = bytearray(cv2.imencode('.png', np.zeros((2, 2), np.uint8))[1].tobytes())
    png[16:24] = (30000).to_bytes(4, 'big') * 2
    return bytes(png)


@pytest.mark.parametrize(
    'data',
    [
        b'x',
        b'\x89PNG',
        cv2.imencode('.png', np.zeros((8, 8, 3), np.uint8))[1].tobytes(),
        cv2.imencode('.jpg', np.zeros((8, 8), np.uint8))[1].tobytes(),
        huge_png(),
    ],
    ids=['text', 'start', 'color', 'jpeg', 'huge'],
)
def test_a_member_that_is_no_label_map(store, data):
    path = rewrite(store, data=data)
    found = SegmentStore(store)
    assert found.read(int(found.find(['0.png'])[0])).shape == (8, 8)
    with pytest.raises(ValueError, match=f'{path} was truncated or damaged'):
        found.read(int(found.find(['1.png'])[0]))


def test_a_pipe_is_no_shard(store):
    os.mkfifo(store / 'shard-000001.zip')
    with pytest.raises(ValueError, match='shard-000001.zip .*no regular file'):
        SegmentStore(store)


def test_names_of_others_are_no_numbers(store):
    for name in ('shard-x.zip', 'shard-.zip', 'shard-000000-000009.zip'):
        (store / name).touch()
    assert ShardWriter(store, 4)._free('shard').name == 'shard-000001.zip'


def test_a_link_in_the_place_of_the_lock(store, tmp_path_factory):
    canary = tmp_path_factory.mktemp('other') / 'canary'
    canary.write_text('alive')
    (store / '.lock').symlink_to(canary)
    cv2.imwrite(str(canary.with_name('0.png')), np.full((8, 8, 3), 90, np.uint8))
    make(find_images(str(canary.parent)), store, 'slic', shown=False)
    assert canary.read_text() == 'alive'
