"""The generators of segments.

A generator is called with an image and its sample and returns a label map.
"""

import inspect
import json
from pathlib import Path
from typing import Dict, Optional, Sequence, Type

import numpy as np
from PIL import Image

from mssl_plugins.errors import unknown
from mssl_plugins.segments.base import Generator, label_map, shrink
from mssl_plugins.segments.sam import SAM


class Felzenszwalb(Generator):
    """Graph-based segments of scikit-image (Felzenszwalb and Huttenlocher 2004).

    All defaults are our choice.  Every pixel belongs to a segment.

    Args:
        scale (float): Preference for large segments, times the square root
            of the number of pixels. Defaults to 3.
        sigma (float): Sigma of a blur before, in px. Defaults to 0.8.
        min_size (float): Smallest segment, as a fraction of the image's
            pixels. Defaults to 0.005.
        side (int): The image is first shrunk to this longer side in px; 0:
            never. Defaults to 256.
    """

    def __init__(
        self, scale: float = 3.0, sigma: float = 0.8, min_size: float = 0.005, side: int = 256
    ) -> None:
        from skimage.segmentation import felzenszwalb  # here, because it takes 0.6 s

        self.method = felzenszwalb
        self.scale, self.sigma, self.min_size, self.side = scale, sigma, min_size, side

    def __call__(self, img, key, sample):
        """Label map (h, w) of an RGB image."""
        img = shrink(img, self.side)
        pixels = img.shape[0] * img.shape[1]
        return 1 + self.method(
            img, self.scale * pixels**0.5, self.sigma, max(round(self.min_size * pixels), 1)
        )


class SLIC(Generator):
    """Superpixels of scikit-image (Achanta et al. 2012).

    All defaults are our choice.  Every pixel belongs to a segment.

    Args:
        segments (int): Approximate number of segments. Defaults to 32.
        compactness (float): Weight of position against color. Defaults to 10.
        sigma (float): Sigma of a blur before, in px. Defaults to 1.
        side (int): As in :class:`Felzenszwalb`. Defaults to 256.
    """

    def __init__(
        self, segments: int = 32, compactness: float = 10.0, sigma: float = 1.0, side: int = 256
    ) -> None:
        from skimage.segmentation import slic  # here, because it takes 0.6 s

        self.method = slic
        self.segments, self.compactness = segments, compactness
        self.sigma, self.side = sigma, side

    def __call__(self, img, key, sample):
        """Label map (h, w) of an RGB image."""
        return self.method(
            shrink(img, self.side), self.segments, self.compactness, sigma=self.sigma, start_label=1
        )


class Annotations(Generator):
    """Segments from annotations: the upper bound.

    Args:
        annotations (str, optional): A COCO file of instances (``.json``, whose
            ``file_name`` is the end of the image's path), or a folder of label
            images under the images' names (as in VOC and ADE20K; in a color
            image every color is a segment).
            Defaults to None: the masks that the dataset's samples carry, as
            ``mssl_plugins.Scenes`` does.
        none (Sequence[int]): Labels in gray or palette images that are no
            segment. Defaults to (0, 255).

    Raises:
        FileNotFoundError: If there is no such file or folder; on a call, if an
            image has no label image.
        ValueError: If the file is no COCO file, or a map does not fit its
            image.
    """

    def __init__(self, annotations: Optional[str] = None, none: Sequence[int] = (0, 255)) -> None:
        self.path = None if annotations is None else Path(annotations).expanduser()
        self.none = (none,) if isinstance(none, int) else tuple(none)
        if self.path is not None and not self.path.exists():
            raise FileNotFoundError(f'--annotations: no such file or folder: {annotations}')
        self.coco = self._read_coco() if self.path is not None and self.path.is_file() else None
        self.label_images = self._find_label_images() if self.path and self.coco is None else {}

    def _read_coco(self) -> Dict[str, dict]:
        try:
            given = json.loads(self.path.read_text(encoding='utf-8'))
            images = {
                info['id']: dict(size=(info['height'], info['width']), segments=[])
                for info in given['images']
            }
            for note in given['annotations']:
                if note.get('segmentation'):
                    images[note['image_id']]['segments'].append(note['segmentation'])
            return {info['file_name']: images[info['id']] for info in given['images']}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f'{self.path} is no COCO file of instances: {error!r}') from None

    def _find_label_images(self) -> Dict[str, Path]:
        found = {}
        for path in self.path.rglob('*'):
            if path.suffix.lower() in ('.png', '.tif', '.tiff', '.bmp') and path.is_file():
                found[path.relative_to(self.path).with_suffix('').as_posix()] = path
        return found

    def __call__(self, img, key, sample):
        """The label map of the image."""
        if self.path is None:
            return self._own(sample, key)
        if self.coco is not None:
            return self._from_coco(img, key)
        name = key.rsplit('.', 1)[0] if '.' in key.rsplit('/', 1)[-1] else key
        path = self.label_images.get(name) or self.label_images.get(name.rsplit('/', 1)[-1])
        if path is None:
            raise FileNotFoundError(f'no label image for {key} in {self.path}')
        labels = self._read_label_image(path)
        (h, w), (height, width) = labels.shape, img.shape[:2]
        if abs(h * width / (w * height) - 1) > 0.02:
            raise ValueError(f'{path} is {h} x {w} px, its image {key} {height} x {width}')
        return labels

    def _own(self, sample: dict, key: str) -> np.ndarray:
        if sample.get('segments') is not None:
            return np.asarray(sample['segments'])
        if sample.get('gt_masks') is not None:
            masks = np.asarray(sample['gt_masks'], bool)
            return label_map(masks, masks.shape[1:])
        raise ValueError(
            f'{key} carries no masks of its own: name the annotations with '
            '--annotations FILE.json or --annotations FOLDER'
        )

    def _from_coco(self, img: np.ndarray, key: str) -> np.ndarray:
        from pycocotools import mask as coco

        info = self.coco.get(key) or self.coco.get(key.rsplit('/', 1)[-1])
        if info is None:
            raise ValueError(f'{key} is not among the {len(self.coco)} images of {self.path}')
        height, width = info['size']
        if (height, width) != img.shape[:2]:
            raise ValueError(
                f'{key} is {img.shape[0]} x {img.shape[1]} px, {self.path} has {height} x {width}'
            )
        masks = []
        for segment in info['segments']:
            if isinstance(segment, list):  # polygons
                segment = coco.merge(coco.frPyObjects(segment, height, width))
            elif isinstance(segment['counts'], list):  # of a crowd
                segment = coco.frPyObjects(segment, height, width)
            masks.append(coco.decode(segment).astype(bool))
        return label_map(masks, (height, width))

    def _read_label_image(self, path: Path) -> np.ndarray:
        try:
            with Image.open(path) as image:  # not OpenCV, which resolves palettes
                labels = np.asarray(image.convert('L') if image.mode == '1' else image)
        except Exception as error:  # Pillow's decoders raise many kinds
            raise ValueError(f'the label image {path} is damaged ({error})') from None
        if labels.ndim == 3:
            weights = np.array([1, 256, 65536][: min(labels.shape[2], 3)])
            return (labels[..., :3].astype(np.int64) * weights).sum(-1)
        return np.where(np.isin(labels, self.none), 0, labels.astype(np.int64) + 1)


GENERATORS = dict(felzenszwalb=Felzenszwalb, slic=SLIC, annotations=Annotations, sam=SAM)


def build_generator(name: str, options: dict) -> Generator:
    """A generator by its name.

    Args:
        name (str): ``'felzenszwalb'``, ``'slic'``, ``'annotations'`` or
            ``'sam'``.
        options (dict): Arguments of its constructor.

    Returns:
        Generator: Ready to be called.

    Raises:
        ValueError: If name or option is unknown.
    """
    if name not in GENERATORS:
        raise unknown(name, GENERATORS, 'generator')
    kind = GENERATORS[name]
    allowed = options_of(kind)
    for option in options:
        if option not in allowed:
            raise unknown(option, allowed, f'option of {name}')
    return kind(**options)


def options_of(kind: Type[Generator]) -> dict:
    """A generator's options and their defaults."""
    return {name: p.default for name, p in inspect.signature(kind).parameters.items()}


def recipe(name: str, options: dict) -> dict:
    """Everything that determines what a generator makes.

    Its options with defaults filled in, files by their names, without options
    that affect only the speed.
    """
    found = {**options_of(GENERATORS[name]), **options}
    found.pop('threads', None)
    for key in ('weights', 'annotations'):
        if found.get(key) is not None:
            paths = [found[key]] if isinstance(found[key], (str, Path)) else found[key]
            found[key] = sorted(Path(path).name for path in paths)
    return found
