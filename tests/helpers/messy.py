"""A folder of photos as people have them."""

from pathlib import Path

import numpy as np
from PIL import Image


def photo(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """A smooth color image with a disc in it, (H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    a, b, c = rng.uniform(0, 6, 3)
    img = np.stack([np.sin(a + 5 * x), np.sin(b + 5 * y), np.sin(c + 3 * (x + y))], -1)
    cx, cy, r = rng.uniform(0.2, 0.8, 2).tolist() + [rng.uniform(0.05, 0.2)]
    img[(x - cx) ** 2 + (y - cy) ** 2 < r**2] = rng.uniform(-1, 1, 3)
    return ((img + 1) * 127).astype(np.uint8)


def make_messy_folder(folder: Path, good: int = 100, seed: int = 0) -> Path:
    """Writes ``good`` plain JPEGs and one or two of each odd kind.

    Odd but usable: alpha, 16-bit gray, gray, palette, CMYK, a name in
    Chinese, a name with spaces, a sub-folder, an EXIF turn, capital suffix.
    Not usable: truncated JPEG, text named .jpg, empty file. Left out: a copy.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for i in range(good):
        width, height = rng.integers(150, 330, 2)
        Image.fromarray(photo(rng, width, height)).save(folder / f'{i:03}.jpg', quality=90)
    base = Image.fromarray(photo(rng, 240, 200))
    alpha = base.copy()
    alpha.putalpha(128)
    alpha.save(folder / 'alpha.png')
    gray = np.asarray(base.convert('L'))
    Image.fromarray(gray.astype(np.uint16) * 257).save(folder / 'sixteen.png')
    for name, mode in (('gray.jpg', 'L'), ('palette.png', 'P'), ('cmyk.jpg', 'CMYK')):
        Image.fromarray(photo(rng, 220, 210)).convert(mode).save(folder / name)
    (folder / 'urlaub é').mkdir()
    Image.fromarray(photo(rng, 260, 190)).save(folder / 'urlaub é' / '照片 1.JPG', format='JPEG')
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(photo(rng, 300, 200)).save(folder / 'turned.jpg', exif=exif)
    data = (folder / '000.jpg').read_bytes()
    (folder / 'copy of 0.jpg').write_bytes(data)
    (folder / 'cut.jpg').write_bytes(data[: len(data) // 2])
    (folder / 'text.jpg').write_text('no image')
    (folder / 'empty.jpg').touch()
    return folder
