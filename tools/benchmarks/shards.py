"""Images read and decoded in random order from shards, beside the same files in a folder."""

import functools
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmark import Line
from benchmarks.views import photos
from mssl_plugins.datasets.folder import ImageFolder
from mssl_plugins.datasets.image_shards import ImageShards
from mssl_plugins.pack import FORMATS, pack

IMAGES = 300  # in 75 row groups of a Parquet file, two of which are kept in memory


def sides(form: str):
    """Reads all images of shards of a format, and of the folder that they were packed from."""
    place = Path(tempfile.mkdtemp())
    (place / 'photos').mkdir()
    files = photos(str(place / 'photos'))
    folder = place / 'images'
    folder.mkdir()
    for number in range(IMAGES):
        data = Path(files[number % len(files)]).read_bytes()
        (folder / f'{number:04d}.jpg').write_bytes(data)
    pack(str(folder), str(place / 'shards'), form)
    cv2.setNumThreads(0)  # as in a loader's worker
    order = np.random.default_rng(0).permutation(IMAGES)
    shards, own = ImageShards(str(place / 'shards')), ImageFolder(str(folder))
    return (lambda: [shards[i] for i in order]), (lambda: [own[i] for i in order])


LINES = [
    Line(
        f'shards: {IMAGES} JPEGs (500 x 375 px) in random order from {form}',
        'the same files in a folder',
        1.5 if form == 'parquet' else 1.1,  # for one image a whole row group is read
        functools.partial(sides, form),
        at_most=True,
        rounds=3,
        threads=1,
    )
    for form in FORMATS
]
