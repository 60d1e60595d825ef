"""Folders of images, and segment stores of them."""

from pathlib import Path

import cv2
import numpy as np

from mssl_plugins.segments import build
from mssl_plugins.segments.image_set import find_images


def photo(seed, height=40, width=56):
    """Blobs of color: images that differ from afar, too."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def make(data, out, generator='felzenszwalb', **kwargs):
    return build.make(find_images(str(data)), str(out), generator, shown=False, **kwargs)


def stored(out):
    """Every label map of a file by its key."""
    import zipfile

    found = {}
    for shard in Path(out).glob('*.zip'):
        with zipfile.ZipFile(shard) as archive:
            for name in archive.namelist():
                assert name not in found
                found[name] = archive.read(name)
    return found


def write_set(root):
    """12 images of several sizes in sub-folders, one name not ASCII."""
    for i in range(12):
        path = root / ('cat' if i % 2 else 'Möwe') / f'{i:02}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), photo(i, 40 + 4 * (i % 3)))
    return root
