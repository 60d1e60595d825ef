"""Image files as arrays: decoded, upright, always uint8 RGB."""

import io
import os
import re
import stat
import struct
from typing import Dict, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.bmp', '.ppm', '.pgm', '.tif', '.tiff', '.webp')
MAX_PIXELS = 100_000_000
KEEP = 'keep them by channels (--channels) ='


def is_truncated(data: bytes) -> bool:
    """Whether a JPEG or PNG file ends too early.

    OpenCV before 5 decodes a truncated JPEG to an image with a gray lower
    part and says nothing.

    Args:
        data (bytes): The file's content.

    Returns:
        bool: True if the end marker is missing after the start of the image
        data. False for a complete file, even with bytes after its end, and
        for other formats, whose decoders notice truncation themselves.
    """
    if data.startswith(b'\x89PNG'):
        return data.rfind(b'IEND\xaeB`\x82') < 0
    if not data.startswith(b'\xff\xd8'):
        return False
    # Hop over the header segments: the thumbnail of a camera's image, in
    # one of them, has an end marker of its own.
    at = 2
    while data[at : at + 1] == b'\xff' and data[at + 1 : at + 2] != b'\xda':
        fill = data[at + 1 : at + 2] == b'\xff'
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return data.rfind(b'\xff\xd9', at) < 0


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Optional[np.ndarray]:
    """Decode an image file's content.

    Args:
        data (bytes): The content.
        max_pixels (int): See :func:`decode_checked`.

    Returns:
        np.ndarray: uint8 (H, W, 3) RGB, or None where
        :func:`decode_checked` raises.
    """
    try:
        return decode_checked(data, max_pixels)
    except ValueError:
        return None


def decode_checked(data: bytes, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decode an image file's content, its header first.

    Gray, palettes and CMYK become RGB, alpha is dropped, 16 bits a channel
    are scaled to 8 by their whole range (65,535 to 255), and the image is
    turned as its EXIF tag says. Of several frames the first is taken.
    :func:`~mssl_plugins.datasets.bands.decode_bands` keeps channels and bits.

    Args:
        data (bytes): The content.
        max_pixels (int): Height times width above which an image is refused
            before it is decoded. Defaults to 100,000,000.

    Returns:
        np.ndarray: uint8 (H, W, 3) RGB.

    Raises:
        ValueError: If it is truncated, too large, has floating-point or 32-bit
            channels, channels that are neither color nor alpha, or is no image.
    """
    if not data or is_truncated(data):
        raise ValueError('truncated' if data else 'empty')
    shape, plain = _header(data)
    if shape is not None and plain:
        check_size(shape, max_pixels)
        try:
            img = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        except cv2.error:
            img = None
        if img is None:
            raise ValueError('damaged')
        return cv2.cvtColor(img, cv2.COLOR_BGR2RGB, img)
    return _decode_any(data, max_pixels)


def told_loss(data: bytes) -> str:
    """Says what :func:`decode_checked` drops of an image, by its header; '' if nothing."""
    bits, alpha = 8, False
    if data.startswith(b'\x89PNG') and len(data) > 25:
        transparent = data.find(b'tRNS', 0, max(data.find(b'IDAT'), 0)) > 0
        bits, alpha = data[24], data[25] in (4, 6) or transparent
    elif data[8:12] == b'WEBP' and len(data) > 24:
        at = {b'VP8X': 20, b'VP8L': 24}.get(data[12:16])
        alpha = at is not None and bool(data[at] & 0x10)
    elif found := re.match(rb'P[56]\s+(?:#[^\n]*\n\s*)*\d+\s+\d+\s+(\d+)\s', data[:512]):
        bits = 16 if int(found[1]) > 255 else 8
    else:
        tags, _ = _tiff_tags(data, 4)
        bits, alpha = tags.get(258, 8), 338 in tags
    said = ['16 bits become 8'] * (bits == 16) + ['alpha is dropped'] * alpha
    return ', '.join(said)


def check_size(shape: Sequence[int], max_pixels: int) -> None:
    """Refuses an image whose height times width is more than ``max_pixels``.

    Args:
        shape (Sequence[int]): Height and width in px, first.
        max_pixels (int): Largest height times width.

    Raises:
        ValueError: If it is larger.
    """
    if shape[0] * shape[1] > max_pixels:
        raise ValueError(f'{shape[0]} x {shape[1]} px, more than max_pixels={max_pixels}')


def _header(data: bytes):
    """Height and width of a JPEG or PNG, and whether OpenCV decodes it.

    As :func:`decode_checked` says; (None, False) for other formats.
    """
    if data.startswith(b'\x89PNG') and data[12:16] == b'IHDR':
        width, height, depth = struct.unpack('>IIB', data[16:25])
        return (height, width), depth <= 8 and b'eXIf' not in data
    at = 2
    while data.startswith(b'\xff\xd8') and data[at : at + 1] == b'\xff':
        kind = data[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC) and len(data) >= at + 10:
            depth, height, width, channels = struct.unpack('>BHHB', data[at + 4 : at + 10])
            return (height, width), depth == 8 and channels in (1, 3)
        if kind == 0xDA:
            break
        at += 1 if kind == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
        if at + 1 >= len(data):
            break
    return None, False


def _check_tiff(data: bytes) -> None:
    """Refuses a TIFF of more channels than RGB and alpha, of which decoders drop some."""
    first, following = _tiff_tags(data, 4)
    if not first:  # another format
        return
    channels, photometric = first.get(277, 1), first.get(262, 1)
    if channels > {2: 3, 5: 4, 6: 3, 8: 3}.get(photometric, 1) + (first.get(338) in (1, 2)):
        raise ValueError(f'{channels} channels, more than color and alpha: {KEEP} {channels}')
    second, _ = _tiff_tags(data, following)
    sides = [tags.get(tag) for tags in (first, second) for tag in (256, 257)]
    if channels == 1 == second.get(277, 1) and sides[:2] == sides[2:] and second.get(254, 0) != 1:
        raise ValueError(f'several gray pages: {KEEP} N, or keep one page')


def _tiff_tags(data: bytes, at: int) -> Tuple[Dict[int, int], int]:
    """Numbers in a directory of a TIFF by tag, and where the offset of the next one stands.

    Args:
        data (bytes): The file; of another format there are no tags.
        at (int): Where the offset of the directory stands; 0: there is none.
    """
    order = {b'II*\0': '<', b'MM\0*': '>'}.get(data[:4])
    try:
        (start,) = struct.unpack_from(f'{order}I', data, at) if order and at else (0,)
        (count,) = struct.unpack_from(f'{order}H', data, start) if start else (0,)
        tags = {}
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(f'{order}HHI', data, entry)
            if kind in (3, 4):  # of several the first, which may lie elsewhere
                form, place = ('H', entry + 8) if kind == 3 else ('I', entry + 8)
                if number * struct.calcsize(f'={form}') > 4:
                    (place,) = struct.unpack_from(f'{order}I', data, place)
                (tags[tag],) = struct.unpack_from(f'{order}{form}', data, place)
        return tags, start + 2 + 12 * count if start else 0
    except struct.error:
        return {}, 0


def _decode_any(data: bytes, max_pixels: int) -> np.ndarray:
    """Decodes with Pillow, which knows depth and channels of every format."""
    _check_tiff(data)
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours is checked
    try:
        with Image.open(io.BytesIO(data)) as image:
            check_size((image.height, image.width), max_pixels)
            if image.mode in ('F', 'I') and not data.startswith((b'\x89PNG', b'P5')):
                raise ValueError(
                    f'{"floating point" if image.mode == "F" else "32 bits"} a channel, '
                    'which has no range to scale from: convert it to 8 or 16 bits'
                )
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith('I'):  # 16 bits
                wide = np.asarray(image).astype(np.uint32)
                gray = ((wide * 255 + 32767) // 65535).astype(np.uint8)
                return np.repeat(gray[..., None], 3, -1)
            return np.array(image.convert('RGB'))
    except ValueError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds
        reason = re.sub(r' <[^>]*>', '', str(error))  # Pillow names the buffer
        raise ValueError(f'no image that can be decoded ({reason})') from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def decode_labels(png: bytes) -> Optional[np.ndarray]:
    """The label map (h, w) in a PNG, uint8 or uint16; None if it is invalid or too large."""
    if not png.startswith(b'\x89PNG') or len(png) < 24:
        return None
    width, height = struct.unpack('>II', png[16:24])
    if width * height > MAX_PIXELS:
        return None
    labels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    return labels if labels is not None and labels.ndim == 2 else None


def read_file(path: Union[str, os.PathLike]) -> bytes:
    """The content of a regular file.

    Raises:
        FileNotFoundError: If there is none.
        OSError: If it is a pipe, a device or a folder, which are not opened
            for reading.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f'{path} is no regular file')
    except OSError:
        os.close(descriptor)
        raise
    with open(descriptor, 'rb') as file:
        return file.read()


def one_line(name: str) -> str:
    """A file name with line breaks written as escapes."""
    return name.replace('\n', '\\n').replace('\r', '\\r')


def printable(name: str) -> str:
    """A file name with line breaks and bytes that are not UTF-8 written as escapes."""
    return one_line(name).encode('utf-8', 'backslashreplace').decode()


def read_rgb(path: Union[str, os.PathLike]) -> np.ndarray:
    """Decodes an image file, turned upright as its EXIF tag says.

    Args:
        path (str | os.PathLike): JPEG, PNG or another format that
            :func:`decode_checked` reads.

    Returns:
        np.ndarray: (H, W, 3) uint8 RGB; gray becomes three channels, alpha
        is dropped.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it is no regular file.
        ValueError: If it is not a whole image, see :func:`decode_checked`.
    """
    data = read_file(path)
    try:
        return decode_checked(data)
    except ValueError as error:
        raise ValueError(
            f"'{printable(str(path))}' is not a readable image, or a truncated one "
            f'({len(data)} bytes): {error}'
        ) from None


def input_image(results: dict) -> np.ndarray:
    """The image of a sample: (H, W, 3) uint8 RGB, or with the channels that its set keeps.

    Args:
        results (dict): ``'img'``, an array of shape (H, W), (H, W, 1) or
            (H, W, 3) uint8 RGB, or ``'img_path'``, which is decoded. With
            ``'channels'``, C: (H, W, C) uint8 or uint16.

    Returns:
        np.ndarray: The image.

    Raises:
        KeyError: If there is neither ``'img'`` nor ``'img_path'``.
        TypeError: If ``'img'`` is not uint8, without ``'channels'``.
        ValueError: If it has another shape, or with ``'channels'`` another type.
    """
    if results.get('img') is None:
        if 'img_path' not in results:
            raise KeyError(f"a sample needs 'img' or 'img_path', got {sorted(results)}")
        return read_rgb(results['img_path'])
    img = results['img']
    if results.get('channels') is not None:
        kinds, shape = (np.uint8, np.uint16), np.shape(img)
        if len(shape) != 3 or shape[2] != results['channels'] or img.dtype not in kinds:
            raise ValueError(
                f"'img' must be uint8 or uint16 (H, W, {results['channels']}), got "
                f'{getattr(img, "dtype", type(img).__name__)} {shape}'
            )
        return img
    if getattr(img, 'dtype', None) != np.uint8:
        what = getattr(img, 'dtype', type(img).__name__)
        raise TypeError(f"'img' must be a uint8 array, got {what}")
    if img.ndim == 2 or img.ndim == 3 and img.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(img), cv2.COLOR_GRAY2RGB)
    if img.ndim != 3 or img.shape[2] != 3:
        raise ValueError(f"'img' must be of shape (H, W), (H, W, 1) or (H, W, 3), got {img.shape}")
    return img
