"""What scenes are made of: glyph outlines and photos, taken from installed packages."""

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Tuple

import cv2
import numpy as np

# The character of each class.  All are in DejaVu Sans, most in a second font.
GLYPHS = dict(
    airplane='\u2708',
    anchor='\u2693',
    umbrella='\u2602',
    telephone='\u260e',
    heart='\u2665',
    star='\u2605',
    club='\u2663',
    moon='\u263e',
    cross='\u271a',
    flag='\u2691',
    queen='\u265b',
    skull='\u2620',
    note='\u266b',
    gear='\u2699',
    knight='\u265e',
    arrow='\u279c',
    scissors='\u2702',
    snowflake='\u2744',
    envelope='\u2709',
    pawn='\u265f',
)
FONTS = ('DejaVuSans.ttf', 'DejaVuSansMono.ttf', 'STIXGeneral.ttf')

# Held-out scenes stand on other photos than training scenes.  Only files that
# are in the wheels themselves, never one that scikit-image would download.
_SKIMAGE, _SKLEARN = ('skimage', 'data'), ('sklearn', 'datasets/images')
PHOTOS = dict(
    train=(
        (_SKIMAGE, 'astronaut.png'),
        (_SKIMAGE, 'coffee.png'),
        (_SKIMAGE, 'motorcycle_left.png'),
        (_SKLEARN, 'china.jpg'),
        (_SKIMAGE, 'camera.png'),
        (_SKIMAGE, 'brick.png'),
        (_SKIMAGE, 'grass.png'),
        (_SKIMAGE, 'ihc.png'),
    ),
    test=(
        (_SKIMAGE, 'chelsea.png'),
        (_SKIMAGE, 'rocket.jpg'),
        (_SKLEARN, 'flower.jpg'),
        (_SKIMAGE, 'gravel.png'),
    ),
)


def _package_dir(package: str) -> Path:
    # find_spec instead of an import: scikit-learn takes a second to import.
    spec = importlib.util.find_spec(package)
    if spec is None:
        name = dict(skimage='scikit-image', sklearn='scikit-learn')[package]
        raise ImportError(f'Scenes needs the photos of {name}: pip install {name}')
    return Path(spec.submodule_search_locations[0])


@lru_cache(maxsize=None)
def load_photos(split: str, side: int) -> Tuple[np.ndarray, ...]:
    """The photos of a split, uint8 (H, W, 3) RGB, shorter side = ``side``.

    Raises:
        FileNotFoundError: If the installed wheel lacks a photo.
    """
    photos = []
    for (package, folder), name in PHOTOS[split]:
        path = _package_dir(package) / folder / name
        photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if photo is None:
            raise FileNotFoundError(f'Scenes needs {path}, which the installed {package} lacks')
        ratio = side / min(photo.shape[:2])
        photo = cv2.resize(photo, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
        photo = cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)
        photo.flags.writeable = False
        photos.append(photo)
    return tuple(photos)


@lru_cache(maxsize=None)
def load_outlines(name: str) -> Tuple[Tuple[np.ndarray, ...], ...]:
    """The outlines of a class, one entry a font that has the character.

    Each is a tuple of closed polygons, float64 (n, 2) x, y with y downwards,
    centered on 0, the longer side of the bounding box 1.
    """
    import matplotlib
    from matplotlib.ft2font import FT2Font
    from matplotlib.path import Path as Outline

    folder = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf'
    variants = []
    for file in FONTS:
        font = FT2Font(str(folder / file))
        if ord(GLYPHS[name]) not in font.get_charmap():
            continue
        font.set_size(256, 72)
        font.load_char(ord(GLYPHS[name]))
        polygons = Outline(*font.get_path()).to_polygons()
        points = np.concatenate(polygons)
        low, high = points.min(0), points.max(0)
        unit = np.array([1, -1]) / (high - low).max()
        variants.append(tuple((p - (low + high) / 2) * unit for p in polygons))
    return tuple(variants)
