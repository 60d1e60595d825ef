"""Drawn masks and videos."""

import numpy as np
from PIL import Image


def square(top, left, side=10, size=(100, 100), number=1):
    mask = np.zeros(size, np.uint8)
    mask[top : top + side, left : left + side] = number
    return mask


def write_videos(folder, frames=6, middle='480p/'):
    """Two squares that wander over noise, in two videos."""
    names = ['one', 'two']
    for v, name in enumerate(names):
        rng = np.random.default_rng(v)
        ground = rng.integers(0, 60, (64, 96, 3))
        for i in range(frames):
            mask = square(8 + 4 * v, 8 + 4 * i, 16, (64, 96))
            mask |= square(40, 60 - 4 * i, 16, (64, 96), number=2)
            image = ground.copy()
            image[mask == 1], image[mask == 2] = (250, 150, 40), (40, 160, 250)
            for kind, array in (('JPEGImages', image), ('Annotations', mask)):
                file = folder / kind / f'{middle}{name}' / f'{i:05d}.png'
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array.astype(np.uint8)).save(file)
    (folder / 'ImageSets/2017').mkdir(parents=True, exist_ok=True)
    (folder / 'ImageSets/2017/val.txt').write_text('\n'.join(names))
    return folder
