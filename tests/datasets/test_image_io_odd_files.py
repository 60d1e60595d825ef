"""Files that are no plain 8-bit images, and files that are no files."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from mssl_plugins.datasets.folder import ImageFolder, scan
from mssl_plugins.datasets.image_io import decode_checked, printable, read_rgb
from mssl_plugins.datasets.packed import PackedImages
from mssl_plugins.datasets.transforms.views import Views


def png(path, value=120, size=(12, 16)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), value, np.uint8))
    return path


def test_workers_count_unreadable_images_at_the_same_time(tmp_path):
    """nonzero() on memory that another worker writes to asserts."""
    good = cv2.imencode('.png', np.zeros((2, 2, 3), np.uint8))[1]
    bad = np.random.default_rng(0).random(20000) < 0.3
    lengths = np.where(bad, 0, len(good))
    np.savez(
        tmp_path / 'a.npz',
        data=np.tile(good, int((~bad).sum())),
        off=np.concatenate([[0], np.cumsum(lengths)]),
    )
    dataset = PackedImages(str(tmp_path / 'a.npz'), cache=False, max_bad=1.0)
    loader = DataLoader(
        dataset, batch_size=None, num_workers=4, collate_fn=lambda x: x['img'].sum()
    )
    assert sum(1 for _ in loader) == 20000
    assert int(dataset._bad.sum()) == bad.sum()


def test_only_regular_files_each_once(tmp_path):
    root = tmp_path / 'data'
    png(root / 'b/1.png')
    png(root / 'b/2.png')
    os.mkfifo(root / 'b/pipe.png')
    (root / 'b/loop').symlink_to('.')
    (root / 'a').symlink_to('b')
    (root / 'zero.jpg').symlink_to('/dev/zero')
    (root / 'again.png').symlink_to('b/1.png')
    (root / 'gone.png').symlink_to('nowhere.png')
    (root / 'own.png').symlink_to('own.png')
    png(tmp_path / 'other/3.png')
    (root / 'c').symlink_to(tmp_path / 'other')
    assert scan(str(root)) == ['b/1.png', 'b/2.png', 'c/3.png']


@pytest.mark.parametrize('kind', ['pipe', 'zero', 'folder'])
def test_a_list_that_names_no_file_is_counted(tmp_path, kind):
    png(tmp_path / 'good.png')
    if kind == 'pipe':
        os.mkfifo(tmp_path / 'odd.png')
    elif kind == 'zero':
        (tmp_path / 'odd.png').symlink_to('/dev/zero')
    else:
        (tmp_path / 'odd.png').mkdir()
    (tmp_path / 'list.txt').write_text('good.png\nodd.png\n')
    dataset = ImageFolder(str(tmp_path), list_file='list.txt', max_bad=0.5)
    assert dataset[1]['img_path'].endswith('good.png') and int(dataset._bad.sum()) == 1
    with pytest.raises(OSError, match='no regular file'):
        read_rgb(tmp_path / 'odd.png')


def saved(tmp_path, image, suffix, **options):
    path = tmp_path / f'x{suffix}'
    image.save(path, **options)
    return path.read_bytes()


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_16_bits_are_scaled_by_their_range(tmp_path, suffix):
    wide = np.array([[0, 300, 32768, 65535]], np.uint16).repeat(3, 0)
    cv2.imwrite(str(tmp_path / f'gray{suffix}'), wide)
    img = decode_checked((tmp_path / f'gray{suffix}').read_bytes())
    expected = np.floor(wide / 65535 * 255 + 0.5).astype(np.uint8)
    assert (img == expected[..., None]).all()


def test_floating_point_is_refused(tmp_path):
    data = saved(tmp_path, Image.fromarray(np.ones((8, 8), np.float32)), '.tif')
    with pytest.raises(ValueError, match='floating point a channel'):
        decode_checked(data)
    data = saved(tmp_path, Image.fromarray(np.ones((8, 8), np.int32)), '.tif')
    with pytest.raises(ValueError, match='32 bits a channel'):
        decode_checked(data)


@pytest.mark.parametrize('suffix', ['.jpg', '.png', '.webp', '.tif'])
def test_images_are_turned_as_exif_says(tmp_path, suffix):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 250
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    data = saved(tmp_path, Image.fromarray(pixels), suffix, exif=exif.tobytes())
    img = decode_checked(data)
    assert img.shape == (32, 16, 3) and img[:12].min() > 200 and img[20:].max() < 50


@pytest.mark.parametrize(
    'mode, suffix',
    [('CMYK', '.jpg'), ('CMYK', '.tif'), ('LA', '.png'), ('1', '.tif'), ('P', '.png')],
)
def test_channels_become_rgb(tmp_path, mode, suffix):
    image = Image.new('RGB', (16, 16), (255, 255, 255)).convert(mode)
    img = decode_checked(saved(tmp_path, image, suffix))
    assert img.shape == (16, 16, 3) and img.dtype == np.uint8 and img.min() > 245


def huge(width):
    """The header of a PNG of 30,000 px a side or so, as a file of few bytes."""
    import struct
    import zlib

    def chunk(name, data):
        return (
            struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
        )

    head = struct.pack('>IIBBBBB', width, width, 8, 2, 0, 0, 0)
    return (
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', head)
        + chunk(b'IDAT', zlib.compress(bytes(100)))
        + chunk(b'IEND', b'')
    )


def test_size_is_known_before_anything_is_decoded(tmp_path):
    with pytest.raises(ValueError, match='30000 x 30000 px, more than max_pixels=100000000'):
        decode_checked(huge(30000))
    path = png(tmp_path / 'a.png')
    for suffix in ('.png', '.jpg', '.webp', '.bmp'):
        data = saved(tmp_path, Image.open(path), suffix)
        with pytest.raises(ValueError, match='12 x 16 px, more than max_pixels=100$'):
            decode_checked(data, 100)
        assert decode_checked(data, 192).shape == (12, 16, 3)


def test_limits_are_arguments_and_counted(tmp_path, caplog):
    for i in range(4):
        png(tmp_path / f'{i}.png', size=(12, 16) if i else (4, 40))
    dataset = ImageFolder(str(tmp_path), min_size=8, max_bad=0.3)
    assert dataset[0]['img'].shape == (12, 16, 3) and int(dataset._bad.sum()) == 1
    with pytest.raises(RuntimeError, match='4 of 4 images'):
        small = ImageFolder(str(tmp_path), max_pixels=10, max_bad=1.0)
        [small[i] for i in range(4)]
    with pytest.raises(ValueError, match='min_size must be 1 px or more, got 0'):
        ImageFolder(str(tmp_path), min_size=0)


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsencode(tmp_path) + b'/caf\xe9.png'
    png(tmp_path / 'a.png')
    try:
        with open(name, 'wb') as file:
            file.write(b'nothing')
    except OSError:
        pytest.skip('this file system takes UTF-8 names only')
    dataset = ImageFolder(str(tmp_path), max_bad=0.5)
    assert [dataset[i]['img_path'] for i in range(2)] == [str(tmp_path / 'a.png')] * 2
    assert printable(os.fsdecode(b'caf\xe9.png')) == 'caf\\udce9.png'


def test_an_image_too_small_for_its_crop_is_named(tmp_path):
    path = png(tmp_path / 'small.png')
    views = Views([dict(size=32, crop='pad', padding=4)])
    with pytest.raises(ValueError, match="small.png: crop='pad' of 32 px needs .* got 12 x 16"):
        views(dict(img_path=str(path)))
