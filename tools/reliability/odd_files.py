"""Files that are damaged, odd or no images, each with what the documentation says of it."""

import io
import os
import socket
import struct
import zlib
from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional

import cv2
import numpy as np
from PIL import Image

SIDES = (24, 40)  # height and width of every image here
LEFT = 200  # of the left half, over which a turn is seen; the right one is darker


class Expected(NamedTuple):
    """What is to become of a file.

    Attributes:
        kind (str): 'image', 'unreadable' (counted and replaced), 'passed over' (not found),
            or 'either' of the first two.
        holds (Callable, optional): Whether (H, W, 3) uint8 is the right image.
    """

    kind: str
    holds: Optional[Callable[[np.ndarray], bool]] = None


def upright(img: np.ndarray) -> bool:
    """Bright on the left, not turned."""
    return img.shape == (*SIDES, 3) and img[:, :15].min() > 120 and img[:, 25:].max() < 110


def turned(img: np.ndarray) -> bool:
    """Turned a quarter clockwise: bright at the top."""
    return img.shape == (*SIDES[::-1], 3) and img[:15].min() > 120 and img[25:].max() < 110


def pixels(rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8, bright on the left."""
    img = np.zeros((*SIDES, 3), np.uint8)
    img[:, :20], img[:, 20:] = LEFT, 40
    return img + rng.integers(0, 12, img.shape, dtype=np.uint8)


def encoded(rng: np.random.Generator, form: str, image: Optional[Image.Image] = None, **options):
    """An image file's content."""
    out = io.BytesIO()
    (image or Image.fromarray(pixels(rng))).save(out, form, **options)
    return out.getvalue()


FORMS = dict(JPEG='.jpg', PNG='.png', WEBP='.webp', BMP='.bmp', TIFF='.tif', PPM='.ppm')


def whole(rng, folder: Path, name: str) -> Expected:
    """An image, of any form, perhaps under another one's suffix or in capitals."""
    form = str(rng.choice(list(FORMS)))
    suffix = str(rng.choice([FORMS[form], FORMS[form].upper(), '.jpg']))
    data = encoded(rng, form) + (b'behind its end' if form in ('JPEG', 'PNG') else b'')
    (folder / f'{name}{suffix}').write_bytes(data)
    return Expected('image', upright)


def truncated(rng, folder: Path, name: str) -> Expected:
    """Cut anywhere; of JPEG and PNG that is always noticed."""
    form = str(rng.choice(list(FORMS)))
    data = encoded(rng, form)
    (folder / f'{name}{FORMS[form]}').write_bytes(data[: int(rng.integers(0, len(data) - 12))])
    return Expected('unreadable' if form in ('JPEG', 'PNG') else 'either')


def flipped(rng, folder: Path, name: str) -> Expected:
    """Some bits are others."""
    form = str(rng.choice(list(FORMS)))
    data = bytearray(encoded(rng, form))
    for _ in range(int(rng.integers(1, 30))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    (folder / f'{name}{FORMS[form]}').write_bytes(data)
    return Expected('either')


def zeroed(rng, folder: Path, name: str) -> Expected:
    """A hole, as after a crash of the file system."""
    form = str(rng.choice(list(FORMS)))
    data = bytearray(encoded(rng, form))
    start = int(rng.integers(len(data)))
    end = int(rng.integers(start, len(data)))
    data[start:end] = bytes(end - start)
    (folder / f'{name}{FORMS[form]}').write_bytes(data)
    return Expected('either')


def no_image(rng, folder: Path, name: str) -> Expected:
    """Nothing, zeros, text, a page, an archive."""
    data = [b'', bytes(500), b'no image', b'<html>404', b'PK\x03\x04' + bytes(60), b'\xff\xd8\xff']
    (folder / f'{name}.jpg').write_bytes(data[int(rng.integers(len(data)))])
    return Expected('unreadable')


def special(rng, folder: Path, name: str) -> Expected:
    """Pipes, sockets, devices, folders, links that lead nowhere, round, or twice to one file."""
    path = folder / f'{name}.png'
    kind = int(rng.integers(8))
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(os.path.relpath(path))
    elif kind == 2:
        path.mkdir()
    elif kind == 7:
        (folder / f'.{name}.png').write_bytes(encoded(rng, 'PNG'))
    else:
        aims = {3: '/dev/zero', 4: 'nowhere.png', 5: path.name, 6: 'good-0.png'}
        path.symlink_to(aims[kind])
    return Expected('passed over')


def loop(rng, folder: Path, name: str) -> Expected:
    """A folder that links to the one above it."""
    (folder / name).mkdir()
    (folder / name / 'up.png').symlink_to('..')
    (folder / name / 'here').symlink_to('.')
    return Expected('passed over')


def sixteen(rng, folder: Path, name: str) -> Expected:
    """16 bits a channel, gray or color."""
    wide = pixels(rng).astype(np.uint16) * 257
    suffix = str(rng.choice(['.png', '.tif']))
    gray = suffix == '.tif' or rng.random() < 0.5
    cv2.imwrite(str(folder / f'{name}{suffix}'), wide[..., 0] if gray else wide)
    return Expected('image', upright)


def floating(rng, folder: Path, name: str) -> Expected:
    """Floating point or 32 bits a channel."""
    kind = np.float32 if rng.random() < 0.5 else np.int32
    Image.fromarray(pixels(rng)[..., 0].astype(kind)).save(folder / f'{name}.tif')
    return Expected('unreadable')


def channels(rng, folder: Path, name: str) -> Expected:
    """CMYK, palettes, alpha, gray, one bit."""
    mode, form = [
        ('CMYK', 'JPEG'),
        ('CMYK', 'TIFF'),
        ('P', 'PNG'),
        ('LA', 'PNG'),
        ('RGBA', 'PNG'),
        ('RGBA', 'WEBP'),
        ('L', 'JPEG'),
        ('1', 'TIFF'),
        ('YCbCr', 'JPEG'),
    ][int(rng.integers(9))]
    image = Image.fromarray(pixels(rng))
    if mode == '1':
        image = image.point(lambda v: 255 * (v > 100))
    data = encoded(rng, form, image.convert(mode))
    (folder / f'{name}{FORMS[form]}').write_bytes(data)
    return Expected('image', upright)


def exif(rng, folder: Path, name: str) -> Expected:
    """To be turned a quarter clockwise."""
    tag = Image.Exif()
    tag[0x0112] = 6
    form = str(rng.choice(['JPEG', 'PNG', 'WEBP', 'TIFF']))
    # stored lying: what turns it upright turns it clockwise
    data = encoded(rng, form, exif=tag.tobytes())
    (folder / f'{name}{FORMS[form]}').write_bytes(data)
    return Expected('image', turned)


def huge(rng, folder: Path, name: str) -> Expected:
    """A header of up to billions of pixels before a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
        )

    side = int(rng.integers(10001, 2**31 - 1))
    head = struct.pack('>IIBBBBB', side, side, int(rng.choice([8, 16])), 2, 0, 0, 0)
    data = chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(bytes(100))) + chunk(b'IEND', b'')
    (folder / f'{name}.png').write_bytes(b'\x89PNG\r\n\x1a\n' + data)
    return Expected('unreadable')


def bomb(rng, folder: Path, name: str) -> Expected:
    """A text of 100 MB in a few kB before the image."""
    data = encoded(rng, 'PNG')
    text = b'k\0\0' + zlib.compress(bytes(10**8), 9)
    chunk = struct.pack('>I', len(text)) + b'zTXt' + text
    chunk += struct.pack('>I', zlib.crc32(b'zTXt' + text))
    (folder / f'{name}.png').write_bytes(data[:33] + chunk + data[33:])
    return Expected('either')


def frames(rng, folder: Path, name: str) -> Expected:
    """Animations and pages: the first of them."""
    form = str(rng.choice(['WEBP', 'TIFF', 'PNG', 'GIF']))
    images = [Image.fromarray(pixels(rng)), Image.new('RGB', SIDES[::-1])]
    data = encoded(rng, form, images[0], save_all=True, append_images=images[1:])
    (folder / f'{name}{FORMS.get(form, ".png")}').write_bytes(data)
    return Expected('image', upright)


def odd_name(rng, folder: Path, name: str) -> Expected:
    """Not UTF-8, with a line's end, escapes, spaces, other scripts, as long as may be."""
    odd = [b'caf\xe9', b'a\nb', b'\x1b[2J', b' ', '照片'.encode(), b'x' * 200, b'%s{0}', b'-rf']
    middle = odd[int(rng.integers(len(odd)))]
    path = os.fsencode(folder) + b'/' + name.encode() + middle + b'.png'
    with open(path, 'wb') as file:
        file.write(encoded(rng, 'PNG'))
    return Expected('image', upright)


KINDS: Dict[str, Callable] = {
    f.__name__: f
    for f in (
        whole,
        truncated,
        flipped,
        zeroed,
        no_image,
        special,
        loop,
        sixteen,
        floating,
        channels,
        exif,
        huge,
        bomb,
        frames,
        odd_name,
    )
}
