"""Holds the classes that a config names against its boxes and label maps, before training.

mmdet leaves out boxes of other names and numbers COCO's classes in the order of the
JSON's categories; mmseg takes the values of label maps as they are.  A wrong name, order
or value trains to the end without a word, or ends in an error of a kernel.  Only sets
whose classes stand in the config are looked at: one's own.
"""

import json
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, Sequence, Tuple

import numpy as np
from mmengine.config import Config
from PIL import Image

from mssl_plugins.errors import ConfigError, nearest
from mssl_plugins.files import read_lines

#: label maps, or files of boxes, that are read of a split, evenly spaced
MOST = 1000


def check_classes(cfg: Config) -> List[str]:
    """Checks the training and validation set of a detector or segmentor.

    Args:
        cfg (mmengine.Config): The config; not changed.

    Returns:
        list[str]: Warnings, a line each. Files that do not exist are left to mmdet and mmseg.

    Raises:
        ConfigError: If no box, or a category too few, has the name of a class, if the JSON
            has another order, or a label map holds other values than the classes have.
    """
    warnings = []
    for loader in ('train_dataloader', 'val_dataloader'):
        dataset, path = (cfg.get(loader) or {}).get('dataset') or {}, f'{loader}.dataset'
        while 'dataset' in dataset:  # repeated, or otherwise wrapped
            dataset, path = dataset['dataset'], f'{path}.dataset'
        classes = (dataset.get('metainfo') or {}).get('classes')
        check = CHECKS.get(str(dataset.get('type')).split('.')[-1])
        if classes and check and not isinstance(classes, str):
            field = f'{path}.metainfo.classes'
            warnings += [f'{field}: {line}' for line in check(dataset, list(classes), field)]
    return warnings


def _check_coco(dataset: dict, classes: List[str], field: str) -> List[str]:
    file = Path(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    if not file.is_file():
        return []
    try:
        told = json.loads(file.read_bytes())
        named = {item['id']: item['name'] for item in told['categories']}
        boxes = Counter(named.get(item['category_id']) for item in told['annotations'])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError('', f'{file} is not in the layout of COCO ({error})') from None
    absent = [name for name in classes if name not in named.values()]
    if absent:
        raise ConfigError(
            field,
            f'{file} has no category {absent[0]!r}, only {_some(named.values())}'
            f'{nearest(absent[0], named.values())}',
            classes,
        )
    order = [name for name in named.values() if name in classes]
    if order != classes:
        raise ConfigError(
            field,
            f'classes are numbered as the categories of {file}: give them in this order, '
            f'{",".join(order)}',
            classes,
        )
    return _left_out(boxes, classes, str(file), True)


def _check_voc(dataset: dict, classes: List[str], field: str) -> List[str]:
    root = dataset.get('data_root') or ''
    listed = Path(root, dataset.get('ann_file') or '')
    if not listed.is_file():
        return []
    prefix = (dataset.get('data_prefix') or {}).get('sub_data_root') or ''
    folder = Path(root, prefix, dataset.get('ann_subdir', 'Annotations'))
    names = [line.strip() for line in read_lines(listed) if line.strip()]
    boxes: Counter = Counter()
    for name in _spaced(names):
        file = folder / f'{name}.xml'
        if file.is_file():
            boxes.update(_names_in(file))
    if boxes and not set(boxes) & set(classes):
        raise ConfigError(
            field,
            f'no box in {folder} has one of these names, theirs are {_some(boxes)}'
            f'{nearest(classes[0], boxes)}',
            classes,
        )
    return _left_out(boxes, classes, str(folder), len(names) <= MOST)


def _names_in(file: Path) -> Iterator[str]:
    try:
        for item in ElementTree.parse(file).getroot().iter('object'):
            yield item.findtext('name') or ''
    except ElementTree.ParseError as error:
        raise ConfigError('', f'{file} is no whole XML file ({error})') from None


def _left_out(boxes: Dict[str, int], classes: List[str], where: str, whole: bool) -> List[str]:
    """Says which boxes are no class's, and which classes have no box."""
    others = {str(name): count for name, count in boxes.items() if name not in classes}
    lines = []
    if others:
        lines.append(f'{sum(others.values())} boxes in {where} are left out: {_some(others)}')
    empty = [name for name in classes if not boxes.get(name)]
    if boxes and empty and whole:
        lines.append(f'no box in {where} is called {_some(empty)}{nearest(empty[0], others)}')
    return lines


def _check_maps(dataset: dict, classes: List[str], field: str) -> List[str]:
    prefix = (dataset.get('data_prefix') or {}).get('seg_map_path')
    folder = Path(dataset.get('data_root') or '', prefix or '')
    suffix = dataset.get('seg_map_suffix', '.png')
    if not prefix or not folder.is_dir():
        return []
    ignored = dataset.get('ignore_index', 255)
    shift = int(bool(dataset.get('reduce_zero_label')))
    files = sorted(path for path in folder.rglob(f'*{suffix}') if path.is_file())
    pixels: Counter = Counter()
    for file in _spaced(files):
        values, counts = _values(file)
        wrong = [v for v in values if v != ignored and v - shift >= len(classes)]
        if wrong:
            raise ConfigError(
                field,
                f'{file} holds the values {_some(values)}; {len(classes)} classes are numbered '
                f'{shift} to {len(classes) - 1 + shift}, and {ignored} is left out',
                classes,
            )
        pixels.update(dict(zip(values, counts)))
    left = [v for v in sorted(pixels) if v != ignored and v >= shift]
    if pixels and len(left) < 2 <= len(classes):
        raise ConfigError(
            field,
            f'the label maps in {folder} hold the values {_some(sorted(pixels))}, of which '
            f'{ignored} is left out: one class is left to learn; number the classes {shift} to '
            f'{len(classes) - 1 + shift}',
            classes,
        )
    empty = [name for i, name in enumerate(classes) if i + shift not in pixels]
    if pixels and empty and len(files) <= MOST:
        return [f'no pixel in {folder} is of {_some(empty)}']
    return []


def _values(file: Path) -> Tuple[List[int], List[int]]:
    """The values in a label map, and how often each occurs."""
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image)
    except OSError as error:
        raise ConfigError('', f'{file}: no readable label map ({error})') from None
    if pixels.ndim != 2:
        raise ConfigError(
            '',
            f'{file} is a color image: a label map has one channel, whose value is the number '
            'of the class',
        )
    values, counts = np.unique(pixels.astype(np.int64), return_counts=True)
    return values.tolist(), counts.tolist()


def _spaced(items: Sequence) -> Iterable:
    """At most ``MOST`` of them, evenly spaced."""
    return items[:: -(-len(items) // MOST) or 1]


def _some(names: Iterable) -> str:
    """The first of some names or numbers."""
    names = [str(name) for name in names]
    return ', '.join(names[:5]) + (', ...' if len(names) > 5 else '')


#: by the class of the dataset
CHECKS = dict(CocoDataset=_check_coco, XMLDataset=_check_voc, BaseSegDataset=_check_maps)
