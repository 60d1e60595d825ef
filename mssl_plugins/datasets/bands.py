"""Images with any number of channels, of 8 or 16 bits, as they are in the file.

Reads TIFF, PNG, ``.npy`` and what Pillow reads.  Nothing is scaled and no channel is
dropped: an image whose number of channels or bits is not the one asked for is refused.
"""

import io
import re
import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps

from mssl_plugins.datasets.image_io import MAX_PIXELS, check_size, decode_checked, is_truncated

NPY = '.npy'
MOST = 64  # channels
BYTES_A_PIXEL = 4  # an image may take this times max_pixels: many channels are not small
TIFF = (b'II*\0', b'MM\0*', b'II+\0', b'MM\0+')
# channels and bits by Pillow's mode
MODES = {
    '1': (1, 8),
    'L': (1, 8),
    'LA': (2, 8),
    'P': (3, 8),
    'RGB': (3, 8),
    'YCbCr': (3, 8),
    'RGBA': (4, 8),
    'CMYK': (4, 8),
    'I;16': (1, 16),
    'I;16B': (1, 16),
    'I;16L': (1, 16),
}
PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by color type


class Shape(NamedTuple):
    """What the header of an image says.

    Attributes:
        height, width (int): In px.
        channels (int): Number of channels.
        bits (int): Bits of a channel, 8 or 16.
    """

    height: int
    width: int
    channels: int
    bits: int

    def __str__(self) -> str:
        plural = 's' if self.channels > 1 else ''
        return f'{self.channels} channel{plural} of {self.bits} bits'


def check_channels(channels, bits) -> None:
    """Refuses numbers of channels and bits that are not supported.

    Raises:
        ValueError: If ``channels`` is not 1 to 64, or ``bits`` neither 8 nor 16.
    """
    if isinstance(channels, bool) or channels != int(channels) or not 1 <= channels <= MOST:
        raise ValueError(f'channels must be a whole number of 1 to {MOST}, got {channels}')
    if bits not in (8, 16):
        raise ValueError(f'bits must be 8 or 16, got {bits}')


def probe(data: bytes) -> Shape:
    """Reads size, channels and bits of an image from its header.

    Args:
        data (bytes): The file's content.

    Returns:
        Shape: What the header says; of ``.npy`` as if the channels were last.

    Raises:
        ValueError: If it is no image, or has neither 8 nor 16 bits a channel.
    """
    if data.startswith(b'\x93NUMPY'):
        return _probe_npy(data)[0]
    if data.startswith(TIFF):
        with _open_tiff(data) as tiff:
            return _probe_tiff(tiff)
    if data.startswith(b'\x89PNG') and data[12:16] == b'IHDR' and len(data) > 25:
        width, height, depth, kind = struct.unpack('>IIBB', data[16:26])
        return Shape(height, width, PNG_CHANNELS.get(kind, 0), 16 if depth == 16 else 8)
    try:
        with Image.open(io.BytesIO(data)) as image:
            (width, height), mode = image.size, image.mode
    except Exception as error:  # Pillow's readers raise many kinds
        reason = re.sub(r' <[^>]*>', '', str(error))
        raise ValueError(f'no image that can be decoded ({reason})') from None
    if mode not in MODES:
        raise ValueError(f'mode {mode}: neither 8 nor 16 bits a channel')
    return Shape(height, width, *MODES[mode])


def decode_bands(
    data: bytes, channels: int, bits: int = 8, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Decodes an image with all its channels, after a check of its header.

    Args:
        data (bytes): The file's content. In ``.npy`` an array (H, W), (H, W, C)
            or (C, H, W), uint8 or uint16; in TIFF interleaved channels, planes, or
            one gray page for each channel.
        channels (int): C, 1 to 64.
        bits (int): Bits of a channel, 8 or 16. Defaults to 8.
        max_pixels (int): Largest height times width. An image that would take more than
            four times as many bytes is refused, too. Defaults to 100,000,000.

    Returns:
        np.ndarray: (H, W, C) uint8, or uint16 for 16 bits.

    Raises:
        ValueError: If it is damaged, too large, or has other channels or bits.
    """
    if not data or is_truncated(data):
        raise ValueError('truncated' if data else 'empty')
    shape = probe(data)
    if data.startswith(b'\x93NUMPY'):
        shape = _as_asked(shape, channels)
    if (shape.channels, shape.bits) != (channels, bits):
        raise ValueError(f'{shape}, not {shape._replace(channels=channels, bits=bits)}')
    check_size(shape, max_pixels)
    if channels * bits * shape.height * shape.width > 8 * BYTES_A_PIXEL * max_pixels:
        raise ValueError(
            f'{shape.height} x {shape.width} px of {shape}, more than {BYTES_A_PIXEL} x '
            f'max_pixels={max_pixels} bytes'
        )
    img = _decode(data, shape, max_pixels)
    wanted = ((shape.height, shape.width), (shape.width, shape.height))  # turned by EXIF
    as_asked = img.shape[2:] == (channels,) and img.dtype.itemsize * 8 == bits
    if img.shape[:2] not in wanted or not as_asked:
        raise ValueError(f'decoded to {img.dtype} {img.shape}, not to {shape}')
    return np.ascontiguousarray(img)


def _decode(data: bytes, shape: Shape, max_pixels: int) -> np.ndarray:
    if data.startswith(b'\x93NUMPY'):
        return _decode_npy(data, shape)
    if data.startswith(TIFF):
        return _decode_tiff(data, shape)
    if (shape.channels, shape.bits) == (3, 8):
        return decode_checked(data, max_pixels)
    try:
        if shape.bits == 16 and data.startswith(b'\x89PNG'):  # Pillow keeps the upper 8 bits
            img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            return _rgb_order(img, shape)
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours is checked
        try:
            with Image.open(io.BytesIO(data)) as image:
                image = ImageOps.exif_transpose(image)
                img = np.array(image.convert('L') if image.mode == '1' else image)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
        return img.reshape(*img.shape[:2], -1)
    except Exception as error:
        raise ValueError(f'damaged ({error})') from None


def _rgb_order(img: np.ndarray, shape: Shape) -> np.ndarray:
    """OpenCV's channels in the order of the file; gray with alpha comes as four."""
    img = img.reshape(*img.shape[:2], -1)
    if shape.channels == 2:
        return img[..., [0, 3]]
    return img[..., [2, 1, 0, *range(3, shape.channels)]] if shape.channels > 2 else img


# ------------------------------------------------------------------------- npy
def _probe_npy(data: bytes):
    """The shape as if channels came last, and where the numbers begin."""
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, kind = read(file)
    except (ValueError, KeyError, SyntaxError, TypeError, EOFError) as error:
        raise ValueError(f'no .npy file ({error})') from None
    if kind not in (np.dtype('u1'), np.dtype('<u2'), np.dtype('>u2')) or len(shape) not in (2, 3):
        raise ValueError(f'{kind} of shape {shape}: uint8 or uint16 (H, W), (H, W, C), (C, H, W)')
    start = file.tell()
    if len(data) - start != kind.itemsize * int(np.prod(shape, dtype=object)) or not all(shape):
        raise ValueError(f'.npy of shape {shape} with {len(data) - start} bytes')
    height, width, *rest = shape
    return Shape(height, width, rest[0] if rest else 1, 8 * kind.itemsize), start


def _as_asked(shape: Shape, channels: int) -> Shape:
    """Channels first, if that is what is asked for and they are not last."""
    first = shape.channels != channels and shape.height == channels
    return Shape(shape.width, shape.channels, shape.height, shape.bits) if first else shape


def _decode_npy(data: bytes, shape: Shape) -> np.ndarray:
    img = np.load(io.BytesIO(data), allow_pickle=False)  # a stranger's file runs no code
    img = img.astype(img.dtype.newbyteorder('='), copy=False)
    if img.ndim == 2:
        return img[..., None]
    return img if img.shape == tuple(shape[:3]) else img.transpose(1, 2, 0)


# ------------------------------------------------------------------------ TIFF
def _open_tiff(data: bytes) -> tifffile.TiffFile:
    try:
        return tifffile.TiffFile(io.BytesIO(data))
    except Exception as error:  # by damage, many types
        raise ValueError(f'no TIFF that can be read ({error})') from None


def _probe_tiff(tiff: tifffile.TiffFile) -> Shape:
    try:
        page = tiff.pages[0]
        kind, channels = page.dtype, page.samplesperpixel
        if channels == 1:  # a page for each channel
            channels = len(_pages(tiff))
    except Exception as error:
        raise ValueError(f'no TIFF that can be read ({error})') from None
    if kind not in (np.uint8, np.uint16) or page.imagedepth != 1:
        raise ValueError(f'{kind} a channel: 8 or 16 bits without sign are taken')
    return Shape(page.imagelength, page.imagewidth, channels, 8 * kind.itemsize)


def _pages(tiff: tifffile.TiffFile) -> list:
    """The pages of the first one's type and shape; at most MOST + 1, enough to refuse more."""
    first, found = tiff.pages[0], []
    for number in range(MOST + 1):
        try:
            page = tiff.pages[number]
        except IndexError:
            break
        like = page.dtype == first.dtype and page.shape == first.shape
        if like and page.subfiletype == first.subfiletype:  # no thumbnail
            found.append(page)
    return found


def _decode_tiff(data: bytes, shape: Shape) -> np.ndarray:
    with _open_tiff(data) as tiff:
        try:
            pages = _pages(tiff) if tiff.pages[0].samplesperpixel == 1 else [tiff.pages[0]]
            for page in pages:
                _check_compression(tiff, page)
            planes = [page.asarray(maxworkers=1) for page in pages]
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(f'damaged ({error})') from None
        axes = pages[0].axes
    if len(planes) > 1 or axes == 'YX':
        return np.stack(planes, -1)
    return planes[0].transpose(1, 2, 0) if axes == 'SYX' else planes[0]


def _check_compression(tiff: tifffile.TiffFile, page) -> None:
    """Refuses compressed parts that may unpack to more than the size of the page."""
    name = tifffile.COMPRESSION(page.compression).name
    if name not in ('NONE', 'ADOBE_DEFLATE', 'DEFLATE', 'PACKBITS'):
        raise ValueError(
            f'compressed by {name}: TIFF of several channels or 16 bits is taken '
            'uncompressed, or by deflate or PackBits'
        )
    if not name.endswith('DEFLATE'):
        return
    if page.is_tiled:
        most = page.tilewidth * page.tilelength
    else:
        most = page.imagewidth * min(page.rowsperstrip, page.imagelength)
    most *= page.samplesperpixel * page.dtype.itemsize
    for offset, size in zip(page.dataoffsets, page.databytecounts):
        tiff.filehandle.seek(offset)
        unpacked = zlib.decompressobj().decompress(tiff.filehandle.read(size), most + 1)
        if len(unpacked) > most:
            raise ValueError(f'a part unpacks to more than its {most} bytes')
