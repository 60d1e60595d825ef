"""What a user would pick instead of our views: torchvision on Pillow images.

The same distributions as ``mssl_plugins.Views``, from a file to normalized float
tensors, as in the loaders of MoCo v2 and DINO.  For the benchmark and the
tests only.
"""

import random
from typing import List, Sequence

import torch
from PIL import Image, ImageFilter
from torchvision import transforms as T

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MODES = dict(bilinear=T.InterpolationMode.BILINEAR, bicubic=T.InterpolationMode.BICUBIC)


class Blur:
    """Pillow's blur with a radius drawn uniformly, as MoCo and DINO do."""

    def __init__(self, sigma: Sequence[float]) -> None:
        self.sigma = sigma

    def __call__(self, img: Image.Image) -> Image.Image:
        """Blurs by a radius drawn anew."""
        return img.filter(ImageFilter.GaussianBlur(radius=random.uniform(*self.sigma)))


def transform(
    size: int,
    num: int = 1,
    scale=(0.2, 1.0),
    ratio=(3 / 4, 4 / 3),
    interpolation: str = 'bilinear',
    flip: float = 0.5,
    jitter: dict = None,
    gray: float = 0.0,
    blur: dict = None,
    solarize: dict = None,
) -> T.Compose:
    """One group of ``mssl_plugins.Views`` as torchvision transforms."""
    ops = [
        T.RandomResizedCrop(size, scale, ratio, interpolation=MODES[interpolation]),
        T.RandomHorizontalFlip(flip),
    ]
    if jitter:
        factors = {k: v for k, v in jitter.items() if k != 'p'}
        ops.append(T.RandomApply([T.ColorJitter(**factors)], jitter.get('p', 1.0)))
    if gray:
        ops.append(T.RandomGrayscale(gray))
    if blur:
        ops.append(T.RandomApply([Blur(blur.get('sigma', (0.1, 2.0)))], blur.get('p', 1.0)))
    if solarize:
        ops.append(T.RandomSolarize(solarize.get('threshold', 128), solarize.get('p', 1.0)))
    return T.Compose([*ops, T.ToTensor(), T.Normalize(MEAN, STD)])


class PILViews:
    """A file to a list of V normalized (3, S, S) float tensors.

    Args:
        views (Sequence[dict]): Groups as of ``mssl_plugins.Views``, with
            random resized crops.
    """

    def __init__(self, views: Sequence[dict]) -> None:
        self.views = [op for group in views for op in [transform(**group)] * group.get('num', 1)]

    def __call__(self, path: str) -> List[torch.Tensor]:
        """All views of the image in a file."""
        with open(path, 'rb') as file:
            img = Image.open(file).convert('RGB')
        return [view(img) for view in self.views]
