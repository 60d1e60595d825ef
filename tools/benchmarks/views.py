"""View pipelines from a JPEG to what the loader hands over, one process."""

import functools
import tempfile
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import torch
from PIL import Image

from benchmark import Line
from benchmarks.pil_views import transform
from mssl_plugins.datasets import Scenes
from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.datasets.transforms import PackViews, Views
from mssl_plugins.datasets.transforms.pack import chw_tensor
from mssl_plugins.models.preprocessor import ViewPreprocessor

JITTER = dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, p=0.8)
MOCO = [
    dict(
        num=2,
        size=224,
        scale=(0.2, 1.0),
        jitter=JITTER,
        gray=0.2,
        blur=dict(p=0.5, sigma=(0.1, 2.0)),
    )
]
DINO_JITTER = dict(JITTER, saturation=0.2)
SIGMA = (0.1, 2.0)
DINO = dict(interpolation='bicubic', jitter=DINO_JITTER, gray=0.2)
GLOBAL = dict(DINO, num=1, size=224, scale=(0.4, 1.0))
MULTI_CROP = [
    dict(GLOBAL, blur=dict(p=1.0, sigma=SIGMA)),
    dict(GLOBAL, blur=dict(p=0.1, sigma=SIGMA), solarize=dict(p=0.2)),
    dict(
        DINO,
        num=8,
        size=96,
        scale=(0.05, 0.4),
        blur=dict(p=0.5, sigma=SIGMA),
    ),
]


def photos(folder: str, size=(500, 375)) -> list:
    """JPEGs of the usual size, from the photos that scikit-image ships."""
    files = []
    for name in ('astronaut', 'coffee', 'chelsea', 'rocket'):
        path = Path(folder) / f'{name}.jpg'
        image = cv2.resize(getattr(skimage.data, name)(), size, interpolation=cv2.INTER_AREA)
        cv2.imwrite(
            str(path), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90]
        )
        files.append(str(path))
    return files


def sides(groups, repeat=5):
    """The same views by us and by Pillow."""
    folder = tempfile.mkdtemp()
    files = photos(folder) * repeat
    cv2.setNumThreads(0)  # as in a loader's worker
    views, pack = Views(views=groups), PackViews()
    peers = [(g['num'], transform(**g)) for g in groups]

    def ours():
        for i, file in enumerate(files):
            pack(views(dict(img_path=file, sample_idx=SampleIndex(i, seed=0, epoch=0))))

    def theirs():
        for file in files:
            image = Image.open(file).convert('RGB')
            [t(image) for n, t in peers for _ in range(n)]

    return ours, theirs


def batch_sides(size: int, images: int = 256):
    """Two normalized views of small images that are in memory: of the batch, and one by one."""
    groups = [dict(MOCO[0], size=size, blur=None)]
    arrays = np.random.default_rng(0).integers(0, 256, (images, size, size, 3), np.uint8)
    batch = torch.from_numpy(arrays.transpose(0, 3, 1, 2).copy())
    cv2.setNumThreads(0)
    whole, single, normalize = ViewPreprocessor(views=groups), Views(groups), ViewPreprocessor()

    def theirs():
        views = [map(chw_tensor, single(dict(img=image))['img']) for image in arrays]
        normalize(dict(inputs=[torch.stack(view) for view in zip(*views)]), training=True)

    return (lambda: whole(dict(inputs=batch), training=True)), theirs


def scene_sides(number: int = 300):
    """Scenes as they are drawn, and two views of each."""
    scenes = Scenes(length=number)
    images = [scenes[i]['img'] for i in range(number)]
    views, pack = Views([dict(MOCO[0], size=32)]), PackViews()

    def drawn():
        for i in range(number):
            scenes[i]

    def viewed():
        for i, image in enumerate(images):
            pack(views(dict(img=image, sample_idx=SampleIndex(i, seed=0, epoch=0))))

    return drawn, viewed


LINES = [
    *(
        Line(
            f'views of a batch: 256 images, 2 x {size} px',
            'our views image by image',
            goal,
            functools.partial(batch_sides, size),
            rounds=41,  # of a tenth of a second
            threads=1,
        )
        for size, goal in ((32, 3.0), (64, 1.0))
    ),
    Line(
        'scenes: 300 of 32 px drawn',
        'two views of each, 2 x 32 px (MoCo v2)',
        2.5,
        scene_sides,
        at_most=True,
        threads=1,
    ),
    Line(
        'views: 2 x 224 px (MoCo v2) from JPEG, 20 images',
        "torchvision's transforms on Pillow",
        2.5,
        lambda: sides(MOCO),
        threads=1,
    ),
    Line(
        'views: 2 x 224 + 8 x 96 px (multi-crop) from JPEG, 20 images',
        "torchvision's transforms on Pillow",
        3.5,
        lambda: sides(MULTI_CROP),
        threads=1,
    ),
]
