"""Packed images whose arrays do not go together, or that a disk damaged."""

import cv2
import numpy as np
import pytest

from mssl_plugins.datasets.packed import PackedImages


@pytest.fixture
def arrays():
    png = cv2.imencode('.png', np.zeros((4, 4, 3), np.uint8))[1].ravel()
    return dict(
        data=np.tile(png, 3),
        off=np.arange(4) * len(png),
        label=np.arange(3),
        box=np.ones((3, 4), np.float32),
    )


@pytest.mark.parametrize(
    'key, value',
    [
        ('data', np.zeros(9)),
        ('data', np.zeros((3, 3), np.uint8)),
        ('off', np.zeros(4)),
        ('off', np.zeros((2, 2), int)),
        ('off', np.array(3)),
        ('label', np.arange(2)),
        ('label', np.array(['a', 'b', 'c'])),
        ('label', np.zeros((3, 1), int)),
        ('box', np.ones((3, 3))),
        ('box', np.ones(3)),
        ('data', np.array([{}, []], object)),
    ],
)
def test_arrays_that_do_not_go_together(tmp_path, arrays, key, value):
    path = tmp_path / 'a.npz'
    np.savez(path, **dict(arrays, **{key: value}))
    with pytest.raises(ValueError, match=f'{path} is no whole file of packed images'):
        PackedImages(str(path))


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_damaged_bytes(tmp_path, arrays, save):
    path, rng = tmp_path / 'a.npz', np.random.default_rng(0)
    save(path, **arrays)
    whole = path.read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(int(rng.integers(1, 6))):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data if rng.random() < 0.7 else data[: int(rng.integers(len(data)))])
        try:
            images = PackedImages(str(path), max_bad=1.0)
        except ValueError as error:
            assert str(path) in str(error)
        else:
            assert len(images) == 3


def test_offsets_that_point_nowhere_are_unreadable_images(tmp_path, arrays):
    arrays['off'][1:3] = (10**12, -5)
    np.savez(tmp_path / 'a.npz', **arrays)
    images = PackedImages(str(tmp_path / 'a.npz'), cache=False, max_bad=1.0)
    assert [images[i]['sample_idx'] for i in range(3)] == [0, 0, 0]
    assert images._bad.tolist() == [False, True, True]
