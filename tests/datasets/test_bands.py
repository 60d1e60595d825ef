"""Images of any channels, of 8 and 16 bits: kept as they are, or refused in one line."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from helpers.bands import band_image, make_band_folder, write_bands
from mssl_plugins.datasets import base
from mssl_plugins.datasets.bands import Shape, decode_bands, probe
from mssl_plugins.datasets.channel_statistics import measure
from mssl_plugins.datasets.folder import ImageFolder
from mssl_plugins.datasets.image_io import decode_checked, input_image, told_loss
from mssl_plugins.datasets.transforms.pack import PackViews
from mssl_plugins.datasets.transforms.photometric import Photometric
from mssl_plugins.datasets.transforms.views import CenterView, Views

KEPT = [
    (channels, bits, suffix)
    for suffix, most in (('.npy', 13), ('.tif', 13), ('.png', 4))
    for channels in (1, 4, 13)
    for bits in (8, 16)
    if channels <= most
]


def written(folder, img, suffix) -> bytes:
    path = folder / f'x{suffix}'
    write_bands(path, img)
    return path.read_bytes()


def tiff(img, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, img, **options)
    return file.getvalue()


@pytest.mark.parametrize('channels, bits, suffix', KEPT)
def test_channels_and_bits_are_kept(tmp_path, channels, bits, suffix):
    img = band_image(np.random.default_rng(1), channels, bits)
    data = written(tmp_path, img, suffix)
    assert probe(data) == Shape(*img.shape, bits)
    decoded = decode_bands(data, channels, bits)
    assert decoded.dtype == img.dtype and (decoded == img).all()
    for wrong in ((channels + 1, bits), (channels, 24 - bits)):
        with pytest.raises(
            ValueError, match=f'{channels} channels? of {bits} bits, not {wrong[0]} '
        ):
            decode_bands(data, *wrong)


@pytest.mark.parametrize(
    'options',
    [
        dict(planarconfig='separate'),
        dict(planarconfig='contig', compression='deflate'),
        dict(planarconfig='contig', tile=(32, 32), compression='deflate', predictor=True),
        dict(planarconfig='contig', byteorder='>'),
        dict(planarconfig='contig', bigtiff=True),
    ],
)
def test_layouts_of_tiff(options):
    img = band_image(np.random.default_rng(1), 5, 16)
    given = img.transpose(2, 0, 1) if options['planarconfig'] == 'separate' else img
    data = tiff(given, photometric='minisblack', extrasamples=['unspecified'] * 4, **options)
    assert (decode_bands(data, 5, 16) == img).all()


def test_pages_of_a_tiff_are_channels():
    img = band_image(np.random.default_rng(1), 6, 16)
    data = tiff(img.transpose(2, 0, 1), photometric='minisblack')
    assert (decode_bands(data, 6, 16) == img).all()


def test_arrays_with_channels_first_and_of_the_other_byte_order(tmp_path):
    img = band_image(np.random.default_rng(1), 13, 16)
    for array in (img.transpose(2, 0, 1), img.astype('>u2'), np.asfortranarray(img)):
        np.save(tmp_path / 'x.npy', array)
        assert (decode_bands((tmp_path / 'x.npy').read_bytes(), 13, 16) == img).all()


@pytest.mark.parametrize(
    'array, says',
    [
        (np.zeros((8, 8), np.float32), 'float32 of shape'),
        (np.zeros((8, 8, 3, 2), np.uint8), 'uint8 of shape'),
        (np.zeros((0, 8, 2), np.uint8), '.npy of shape'),
        (np.array([{}], object), 'object of shape'),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, says):
    np.save(tmp_path / 'x.npy', array, allow_pickle=True)
    with pytest.raises(ValueError, match=says):
        decode_bands((tmp_path / 'x.npy').read_bytes(), 2, 8)


@pytest.mark.parametrize('suffix', ['.npy', '.tif', '.png'])
def test_cut_files_are_refused(tmp_path, suffix):
    data = written(tmp_path, band_image(np.random.default_rng(1), 4, 16), suffix)
    for part in (0, 0.02, 0.3, 0.9):
        with pytest.raises(ValueError):
            decode_bands(data[: int(len(data) * part)], 4, 16)


def test_sizes_are_checked_before_anything_is_unpacked(tmp_path):
    wide = tiff(np.zeros((64, 64, 5), np.uint16), photometric='minisblack', planarconfig='contig')
    with pytest.raises(ValueError, match='64 x 64 px, more than max_pixels=100'):
        decode_bands(wide, 5, 16, max_pixels=100)
    with pytest.raises(ValueError, match='more than 4 x max_pixels=5000 bytes'):
        decode_bands(wide, 5, 16, max_pixels=5000)
    bomb = zlib.compress(bytes(10_000_000))
    small = tiff(np.zeros((8, 8, 5), np.uint8), photometric='minisblack', planarconfig='contig',
                 compression='deflate')  # fmt: skip
    with tifffile.TiffFile(io.BytesIO(small)) as file:
        start, count = file.pages[0].tags[273].valueoffset, file.pages[0].tags[279].valueoffset
    changed = bytearray(small) + bomb
    struct.pack_into('<I', changed, start, len(small))
    struct.pack_into('<I', changed, count, len(bomb))
    with pytest.raises(ValueError, match='unpacks to more than its 320 bytes|damaged'):
        decode_bands(bytes(changed), 5, 8)


@pytest.mark.parametrize('given, says', [((0, 8), '1 to 64, got 0'), ((3, 12), '8 or 16, got 12')])
def test_numbers_that_no_image_has(tmp_path, given, says):
    make_band_folder(tmp_path, 1, number=1)
    with pytest.raises(ValueError, match=says):
        ImageFolder(str(tmp_path), channels=given[0], bits=given[1])
    with pytest.raises(ValueError, match='bits=16 goes with channels='):
        ImageFolder(str(tmp_path), bits=16)


# --- nothing is lost in silence


def test_further_channels_of_a_tiff_are_an_error():
    several = tiff(np.zeros((8, 8, 5), np.uint8), photometric='minisblack', planarconfig='contig')
    with pytest.raises(
        ValueError, match=r'5 channels, more than color and alpha.*--channels\) = 5'
    ):
        decode_checked(several)
    pages = tiff(np.zeros((4, 8, 8), np.uint8), photometric='minisblack')
    with pytest.raises(ValueError, match='several gray pages'):
        decode_checked(pages)
    rgba = tiff(np.zeros((8, 8, 4), np.uint8), photometric='rgb', extrasamples=['unassalpha'])
    assert decode_checked(rgba).shape == (8, 8, 3)


@pytest.mark.parametrize('suffix', ['.png', '.tif'])
@pytest.mark.parametrize(
    'channels, bits, says',
    [(1, 16, '16 bits become 8'), (4, 8, 'alpha is dropped'), (1, 8, None), (3, 8, None)],
)
def test_lost_bits_and_alpha_are_logged_once(tmp_path, monkeypatch, channels, bits, says, suffix):
    for number in range(3):
        img = band_image(np.random.default_rng(number), channels, bits)
        if suffix == '.tif' and channels > 1:
            kinds = dict(extrasamples=['unassalpha']) if channels == 4 else {}
            (tmp_path / f'{number}.tif').write_bytes(tiff(img, photometric='rgb', **kinds))
        else:
            write_bands(tmp_path / f'{number}{suffix}', img)
    lines = []
    monkeypatch.setattr(base, 'print_log', lambda text, **_: lines.append(text))
    data = ImageFolder(str(tmp_path))
    assert all(data[i]['img'].shape[2] == 3 for i in range(3))
    assert len(lines) == (says is not None) and (says or '') in ''.join(lines)


def test_what_a_header_tells_of_losses():
    rgb = np.zeros((4, 4, 3), np.uint8)
    wide = cv2.imencode('.ppm', rgb.astype(np.uint16))[1].tobytes()
    shades = Image.new('RGBA', (4, 4), (1, 2, 3, 4))
    palette = Image.fromarray(rgb).convert('P')
    lossless, lossy, few = io.BytesIO(), io.BytesIO(), io.BytesIO()
    shades.save(lossless, 'WEBP', lossless=True)
    shades.save(lossy, 'WEBP')
    palette.save(few, 'PNG', transparency=0)
    for data, says in (
        (wide, '16 bits become 8'),
        (tiff(rgb.astype(np.uint16), photometric='rgb'), '16 bits become 8'),
        (lossless.getvalue(), 'alpha is dropped'),
        (lossy.getvalue(), 'alpha is dropped'),
        (few.getvalue(), 'alpha is dropped'),
        (cv2.imencode('.webp', rgb)[1].tobytes(), ''),
        (cv2.imencode('.ppm', rgb)[1].tobytes(), ''),
        (cv2.imencode('.jpg', rgb)[1].tobytes(), ''),
        (tiff(rgb, photometric='rgb'), ''),
        (b'', ''),
    ):
        assert told_loss(data) == says


# --- views


@pytest.mark.parametrize('channels, bits', [(1, 8), (4, 8), (13, 16)])
def test_views_keep_channels_and_range(tmp_path, channels, bits):
    """Channels keep their order and values; what is cut out is what was there."""
    values = np.linspace(1, np.iinfo(f'uint{bits}').max, channels).astype(f'uint{bits}')
    np.save(tmp_path / 'flat.npy', np.broadcast_to(values, (60, 70, channels)))
    views = [dict(num=2, size=(40, 48), scale=(0.3, 1.0), blur=dict(p=1.0, sigma=(0.1, 2.0)))]
    data = ImageFolder(
        str(tmp_path), channels=channels, bits=bits, pipeline=[Views(views), PackViews()]
    )
    for view in data[0]['inputs']:
        assert view.shape == (channels, 40, 48)
        assert (view == torch.from_numpy(values.astype(np.int32))[:, None, None]).all()
    (tmp_path / 'flat.npy').unlink()
    make_band_folder(tmp_path, channels, bits, number=2)
    data = ImageFolder(str(tmp_path), channels=channels, bits=bits)
    raw = data.load(data.get_data_info(0))
    whole = CenterView(size=72, resize=72)(dict(img=raw, channels=channels))['img']
    assert whole.dtype == raw.dtype and (whole == raw[:, 4:76]).all()


@pytest.mark.parametrize('name', ['saturation', 'hue', 'gray', 'solarize'])
def test_what_is_for_rgb_alone_is_refused(name):
    options = dict(
        gray=dict(gray=0.2),
        solarize=dict(solarize=dict(p=0.2)),
    ).get(name) or dict(jitter=dict(p=0.8, **{name: 0.1}))
    with pytest.raises(ValueError, match=f'^{name}: for 8-bit RGB, and this image has 4 channels'):
        Photometric(**options)(np.zeros((8, 8, 4), np.uint8), np.random.default_rng(0))


@pytest.mark.parametrize('channels, bits', [(1, 8), (4, 8), (13, 16)])
def test_brightness_and_contrast_of_any_channels(channels, bits):
    """Against a plain loop over channels."""
    img = band_image(np.random.default_rng(2), channels, bits)
    top = np.iinfo(img.dtype).max
    bright = Photometric(jitter=dict(brightness=0.4, p=1.0))(img, np.random.default_rng(5))
    ratios = bright[img > top // 8] / img[img > top // 8]
    assert bright.shape == img.shape and bright.dtype == img.dtype
    clipped = bright[img > top // 8] == top
    assert np.ptp(ratios[~clipped]) < 0.1 and abs(ratios.mean() - 1) > 0.01
    contrast = Photometric(jitter=dict(contrast=0.4, p=1.0))(img, np.random.default_rng(5))
    factor = (contrast.astype(float) - img.mean()).std() / img.astype(float).std()
    assert 0.6 <= factor <= 1.4 and abs(contrast.mean() - img.mean()) < top / 50


def test_a_sample_must_have_the_channels_it_says():
    with pytest.raises(ValueError, match=r"'img' must be uint8 or uint16 \(H, W, 4\)"):
        input_image(dict(img=np.zeros((4, 4, 3), np.uint8), channels=4))


# --- statistics


def test_statistics_are_those_of_all_pixels(tmp_path):
    images = [np.random.default_rng(i).integers(0, 4000, (10, 12, 13)) for i in range(5)]
    for i, img in enumerate(images):
        np.save(tmp_path / f'{i}.npy', img.astype(np.uint16))
    found = measure(ImageFolder(str(tmp_path), channels=13, bits=16))
    pixels = np.stack(images).reshape(-1, 13)
    np.testing.assert_allclose(found.mean, pixels.mean(0), atol=1e-3)
    np.testing.assert_allclose(found.std, pixels.std(0), atol=1e-3)
    assert found.least == pixels.min(0).tolist() and found.most == pixels.max(0).tolist()
    assert found.images == 5


def test_a_constant_channel_can_be_divided_by_its_deviation(tmp_path):
    np.save(tmp_path / 'x.npy', np.full((4, 4, 2), 7, np.uint16))
    assert min(measure(ImageFolder(str(tmp_path), channels=2, bits=16)).std) > 60


def test_no_image_of_these_channels_says_why(tmp_path):
    make_band_folder(tmp_path, 4, number=2)
    with pytest.raises(ValueError, match='none of 2 images can be used: 4 channels of 8 bits, not'):
        measure(ImageFolder(str(tmp_path), channels=3, max_bad=1.0))


def test_palette_and_exif(tmp_path):
    Image.fromarray(np.zeros((8, 6, 3), np.uint8)).convert('P').save(tmp_path / 'p.png')
    with pytest.raises(ValueError):
        decode_bands((tmp_path / 'p.png').read_bytes(), 1)
    assert decode_bands((tmp_path / 'p.png').read_bytes(), 3).shape == (8, 6, 3)
    gray = cv2.imencode('.png', np.zeros((8, 6), np.uint8))[1].tobytes()
    with pytest.raises(ValueError, match='1 channel of 8 bits, not 3 channels'):
        decode_bands(gray, 3)
