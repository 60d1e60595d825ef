"""Given images: arrays and files as they are, and one line for what is none."""

import numpy as np
import pytest
from PIL import Image

from helpers.bands import band_image, write_bands
from mssl_plugins.datasets.given import GivenImages


def test_channels_and_bits_are_kept(tmp_path):
    """Of an array and of a file alike; three channels of 16 bits are not made 8-bit RGB."""
    img = band_image(np.random.default_rng(0), 3, 16)
    write_bands(tmp_path / 'a.npy', img)
    dataset = GivenImages([tmp_path / 'a.npy', img], channels=3, bits=16)
    for sample in (dataset[0], dataset[1]):
        assert sample['img'].dtype == np.uint16 and np.array_equal(sample['img'], img)
        assert sample['channels'] == 3
    assert GivenImages([np.zeros((4, 5, 3), np.uint8)])[0]['img'].shape == (4, 5, 3)


@pytest.mark.parametrize(
    'image, given, says',
    [
        (np.zeros((4, 4, 3)), {}, r'uint8 of shape \(H, W, 3\), RGB, is taken'),
        (np.zeros((4, 4), np.uint8), {}, r'shape \(4, 4\): uint8 of shape \(H, W, 3\), RGB,'),
        (1, {}, 'image 1 is a int: a path, an image of Pillow or an array, uint8'),
        (
            np.zeros((4, 4, 5), np.uint8),
            dict(channels=5, bits=16),
            r'uint16 of shape \(H, W, 5\) is taken',
        ),
        (Image.new('RGB', (4, 4)), dict(channels=5), 'is a Image: a path or an array, uint8'),
    ],
)
def test_what_is_no_such_image_is_named(image, given, says):
    good = np.zeros((4, 4, given.get('channels', 3)), f'u{given.get("bits", 8) // 8}')
    with pytest.raises(TypeError, match=says):
        GivenImages([good, image], **given)
