"""Small detection and segmentation sets as folders that mmdet and mmseg read.

Generated scenes in COCO's layout, in VOC's and as label maps, and packed CamVid.
Our own; no paper prescribes it.
"""

import json
import os
import tarfile
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Sequence, Tuple, Union
from xml.etree import ElementTree

import cv2
import numpy as np

from mssl_plugins.datasets.scenes import Scenes
from mssl_plugins.errors import unknown
from mssl_plugins.files import as_bytes, whole_file, write_atomically

#: (training, held-out) scenes: other photos, several objects
SPLITS = dict(train='train', val='test')
#: several objects a scene, as large in px as in the scenes of pre-training
DIFFICULTY = dict(size=64, objects=(1, 3), scale=(0.3, 0.6), num_classes=4)
#: least side in px of what is annotated: less cannot be told from the background
MIN_BOX_SIDE = 4


def _objects(scene: dict) -> Iterator[Tuple[np.ndarray, int, np.ndarray]]:
    """Box, class and mask of each object that is large enough."""
    for box, label, mask in zip(scene['gt_bboxes'], scene['gt_bboxes_labels'], scene['gt_masks']):
        if min(box[2:] - box[:2]) >= MIN_BOX_SIDE:
            yield box, int(label), mask


def _image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix == '.jpg' else []
    pixels = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    if not cv2.imwrite(str(path), pixels, flags):
        raise OSError(f'could not write {path}')


def write_coco(scenes: Scenes, out: Union[str, Path], split: str) -> None:
    """``OUT/<split>/*.jpg`` and ``OUT/annotations/<split>.json``.

    Masks are run-length encoded, boxes those of the visible part.

    Args:
        scenes (Scenes): The scenes.
        out (str | Path): The folder, made where it is not there.
        split (str): Name of the part.
    """
    from pycocotools import mask as coder

    out = Path(out)
    images, annotations = [], []
    for i, scene in enumerate(scenes):
        name = f'{i:05d}.jpg'
        _image(out / split / name, scene['img'])
        side = len(scene['img'])
        images.append(dict(id=i, file_name=name, height=side, width=side))
        for box, label, mask in _objects(scene):
            code = coder.encode(np.asfortranarray(mask, np.uint8))
            x0, y0, x1, y1 = map(float, box)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i,
                    category_id=label + 1,
                    iscrowd=0,
                    bbox=[x0, y0, x1 - x0, y1 - y0],
                    area=int(mask.sum()),
                    segmentation=dict(size=code['size'], counts=code['counts'].decode()),
                )
            )
    categories = [dict(id=i + 1, name=n) for i, n in enumerate(scenes.metainfo['classes'])]
    whole = dict(images=images, annotations=annotations, categories=categories)
    write_atomically(json.dumps(whole).encode(), out / 'annotations' / f'{split}.json')


def write_voc(scenes: Scenes, out: Union[str, Path], split: str) -> None:
    """``OUT/{JPEGImages,Annotations}`` and ``OUT/ImageSets/Main/<split>.txt``.

    Coordinates count from 1 and include the last pixel, as VOC's do.
    Arguments as in :func:`write_coco`.
    """
    out, names = Path(out), []
    (out / 'Annotations').mkdir(parents=True, exist_ok=True)
    for i, scene in enumerate(scenes):
        names.append(f'{split}_{i:05d}')
        _image(out / 'JPEGImages' / f'{names[-1]}.jpg', scene['img'])
        root = ElementTree.Element('annotation')
        size = ElementTree.SubElement(root, 'size')
        for key, value in zip(('height', 'width', 'depth'), scene['img'].shape):
            ElementTree.SubElement(size, key).text = str(value)
        for box, label, _ in _objects(scene):
            entry = ElementTree.SubElement(root, 'object')
            ElementTree.SubElement(entry, 'name').text = scenes.metainfo['classes'][label]
            ElementTree.SubElement(entry, 'difficult').text = '0'
            where = ElementTree.SubElement(entry, 'bndbox')
            for key, value in zip(('xmin', 'ymin', 'xmax', 'ymax'), box + [1, 1, 0, 0]):
                ElementTree.SubElement(where, key).text = str(int(value))
        ElementTree.ElementTree(root).write(out / 'Annotations' / f'{names[-1]}.xml')
    write_atomically(as_bytes(names), out / 'ImageSets' / 'Main' / f'{split}.txt')


def write_masks(scenes: Scenes, out: Union[str, Path], split: str) -> None:
    """``OUT/img/<split>/*.jpg`` and ``OUT/ann/<split>/*.png``.

    A pixel's value is 0 where there is no object, else 1 + its class.
    Arguments as in :func:`write_coco`.
    """
    out = Path(out)
    for i, scene in enumerate(scenes):
        _image(out / 'img' / split / f'{i:05d}.jpg', scene['img'])
        labels = (scene['gt_masks'] * (scene['gt_bboxes_labels'] + 1)[:, None, None]).sum(0)
        _image(out / 'ann' / split / f'{i:05d}.png', labels.astype(np.uint8))


WRITERS: Dict[str, Callable] = dict(coco=write_coco, voc=write_voc, seg=write_masks)


def write_scenes(
    out: Union[str, Path], layout: str, lengths: Sequence[int] = (400, 100), **kwargs
) -> None:
    """Scenes as a data set with the parts ``train`` and ``val``.

    Args:
        out (str | Path): The folder, made where it is not there.
        layout (str): ``'coco'``, ``'voc'`` or ``'seg'``.
        lengths (Sequence[int]): Scenes to train on and held-out scenes.
            Defaults to (400, 100).
        **kwargs: Arguments of :class:`Scenes`; by default 1 to 3 objects of
            4 classes on 64 px.

    Raises:
        ValueError: If the layout or an argument is unknown.
    """
    if layout not in WRITERS:
        raise unknown(layout, WRITERS, 'layout')
    for (split, source), length in zip(SPLITS.items(), lengths):
        scenes = Scenes(split=source, length=length, **{**DIFFICULTY, **kwargs})
        WRITERS[layout](scenes, out, split)


def unpack_camvid(source: Union[str, Path], out: Union[str, Path]) -> None:
    """Packed CamVid as ``OUT/img/{train,val}/*.jpg`` and ``OUT/ann/...png``.

    Args:
        source (str | Path): The folder of ``camvid_train.npz`` and
            ``camvid_val.npz``: JPEG and PNG bytes ``data``, ``seg`` with
            offsets ``off``, ``seg_off``, and ``name``.
        out (str | Path): The folder, made where it is not there.

    Raises:
        FileNotFoundError: If a file is missing.
    """
    for split in ('train', 'val'):
        file = Path(source) / f'camvid_{split}.npz'
        if not file.is_file():
            raise FileNotFoundError(
                f'no {file}: the folder of camvid_train.npz and camvid_val.npz is needed'
            )
        with np.load(file) as packed:
            for kind, data, offsets, suffix in (
                ('img', 'data', 'off', 'jpg'),
                ('ann', 'seg', 'seg_off', 'png'),
            ):
                folder, blob, ends = Path(out) / kind / split, packed[data], packed[offsets]
                for name, a, b in zip(packed['name'], ends[:-1], ends[1:]):
                    with whole_file(folder / f'{Path(str(name)).stem}.{suffix}') as part:
                        part.write_bytes(blob[a:b].tobytes())


def unpack_bccd(source: Union[str, Path], out: Union[str, Path]) -> None:
    """BCCD in VOC's layout from its archive.

    Args:
        source (str | Path): ``bccd_voc.tar.gz`` or its folder.
        out (str | Path): The folder that gets ``JPEGImages`` and the others.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    file = Path(source)
    file = file / 'bccd_voc.tar.gz' if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(f'no {file}: BCCD in VOC layout, as tar.gz, is needed')
    out = Path(out)
    with tarfile.open(file) as archive:
        for entry in archive:
            inside = Path(*Path(entry.name).parts[1:])  # without the top folder
            if entry.isfile() and '..' not in inside.parts and not inside.is_absolute():
                with whole_file(out / inside) as part:
                    part.write_bytes(archive.extractfile(entry).read())


PACKED: Dict[str, Callable] = dict(bccd=unpack_bccd, camvid=unpack_camvid)


def default_source(given: Optional[str], root: Path) -> Path:
    """The folder of packed images: the given one, else MSSL_DATA, else ../shared/data."""
    return Path(given or os.environ.get('MSSL_DATA') or root.parent / 'shared' / 'data')
