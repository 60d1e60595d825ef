"""The segment store: label maps come back, by the longest end of a path."""

import json
import os

import numpy as np
import pytest

from helpers.segment_sets import photo
from mssl_plugins.segments.store import FORMAT, SegmentStore, encode, write_shard


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


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b'caf\xe9.png')
    (tmp_path / 'seg').mkdir()
    write_shard(tmp_path / 'seg/shard-000000.zip', [encode(name, np.ones((4, 4), int), photo(0))])
    (tmp_path / 'seg/segments.json').write_text(json.dumps(dict(format=FORMAT)))
    store = SegmentStore(tmp_path / 'seg')
    assert (store.find([name, '/moved/' + name, 'caf.png']) == [0, 0, -1]).all()
