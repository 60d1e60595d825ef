"""Labeled images in any of the usual layouts, and class-balanced parts of them.

The papers' probes and fine-tunings run on ImageNet-1K, ImageNet-100,
CIFAR-10/100 and Tiny-ImageNet, with all, 10 % or 1 % of the labels.  No
supplement prints which 100 classes or which 1 % of the images were used: they
come from list files, the user's or those of ``tools/make_subset.py``.
"""

import os
from pathlib import Path
from typing import List, Optional, Sequence, Union

import mmpretrain.datasets as theirs
import numpy as np
from mmengine.dataset import BaseDataset

from mssl_plugins.datasets.folder import ImageFolder, TinyImageNet
from mssl_plugins.datasets.packed import PackedImages
from mssl_plugins.errors import unknown
from mssl_plugins.files import read_lines
from mssl_plugins.registry import DATASETS

SPLITS = ('train', 'val')
LAYOUTS = (
    'train/ and val/ (or test/) with a sub-folder a class; '
    'cifar-10-batches-py/ or cifar-100-python/; tiny-imagenet-200 as '
    'unpacked; or the first part of the name of NAME_train.npz'
)


def _packed(root: Path, split: str) -> Optional[Path]:
    """``root`` + ``_train.npz``, or ``_val.npz`` / ``_test.npz``."""
    names = ('train',) if split == 'train' else ('val', 'test')
    for name in names:
        path = root.with_name(f'{root.name}_{name}.npz')
        if path.is_file():
            return path
    return None


def _folder(root: Path, split: str) -> Optional[Path]:
    for name in ('train',) if split == 'train' else ('val', 'test'):
        if (root / name).is_dir():
            return root / name
    return None


@DATASETS.register_module()
def LabelledImages(
    data_root: str,
    split: str = 'train',
    list_file: str = '',
    classes: Union[str, Sequence[str], None] = None,
    cache: bool = True,
    **kwargs,
) -> BaseDataset:
    """The training or validation set in a folder, whatever its layout.

    Samples have ``img`` (uint8 (H, W, 3) RGB) and ``gt_label``; no loading
    transform is needed.

    Args:
        data_root (str): ImageNet's or any folder with ``train/`` and ``val/`` (or ``test/``),
            one sub-folder a class; CIFAR-10, CIFAR-100 or Tiny-ImageNet as unpacked; or
            ``DIR/NAME`` for packed images ``DIR/NAME_train.npz``.
        split (str): ``'train'`` or ``'val'``. Defaults to ``'train'``.
        list_file (str): Only these images: a line ``path class`` each, paths from the split's
            folder on; for sets without files a line ``index label``. Defaults to ``''``, all.
            A ``val/`` without sub-folders is read with ``meta/val.txt`` where there is one.
        classes (str | Sequence[str], optional): Only these classes, or a file
            with one a line (ImageNet-100), of a folder. Defaults to None.
        cache (bool): Whether packed images are decoded once and kept.
            Defaults to True.
        **kwargs: ``pipeline`` and others of MMPretrain's ``BaseDataset``.

    Returns:
        BaseDataset: The set.

    Raises:
        FileNotFoundError: If the folder has no known layout, or there is no such list.
        ValueError: If the split is unknown, or a list does not fit.
    """
    if split not in SPLITS:
        raise unknown(split, SPLITS, 'split')
    root = Path(data_root).expanduser()
    if classes is not None and isinstance(classes, str) and not os.path.isfile(classes):
        raise FileNotFoundError(f'no list of classes {classes}')
    build = None
    for folder, name in (('cifar-10-batches-py', 'CIFAR10'), ('cifar-100-python', 'CIFAR100')):
        if (root / folder).is_dir():
            kwargs.update(
                split='train' if split == 'train' else 'test', data_root=str(root), download=False
            )
            build = getattr(theirs, name)
    packed = _packed(root, split)
    if build is None and packed:
        build = PackedImages
        kwargs.update(ann_file=str(packed), cache=cache)
    if build is not None:
        if classes is not None:
            raise ValueError(
                f'{root} has no class folders to choose from: classes= is for folders of images'
            )
        if list_file:
            # Labels first: only what the list names is decoded and kept.
            plain = {**kwargs, 'serialize_data': False}
            if packed:
                plain['cache'] = False
            kwargs['indices'] = _indices(list_file, root, build(**plain))
        return build(**kwargs)
    if (root / 'wnids.txt').is_file():
        if classes is not None:
            kwargs['classes'] = classes
        return _TinyImageNet(str(root), split, list_path=list_file, **kwargs)
    folder = _folder(root, split)
    if folder is None:
        raise FileNotFoundError(_nothing(root, split))
    flat = not any(p.is_dir() for p in folder.iterdir())
    if flat and not list_file and (root / 'meta' / f'{split}.txt').is_file():
        list_file = f'meta/{split}.txt'
    return ImageFolder(
        str(root),
        data_prefix=folder.name,
        list_file=list_file,
        labels=True,
        classes=classes,
        **kwargs,
    )


class _TinyImageNet(TinyImageNet):
    """Tiny-ImageNet, or those of its images that a list names."""

    def __init__(self, data_root: str, split: str, list_path: str = '', **kwargs) -> None:
        self.list_path = list_path and os.path.join(data_root, list_path)
        super().__init__(data_root, split, **kwargs)

    def read_annotations(self) -> None:
        """Scans the folder, or reads the list."""
        self.ann_file = self.list_path or self.ann_file
        super().read_annotations()

    def _read_list(self):
        return (ImageFolder if self.list_path else TinyImageNet)._read_list(self)


def _nothing(root: Path, split: str) -> str:
    text = f'no labeled images ({split}) in {root}; known are {LAYOUTS}'
    if not root.is_dir():
        return f'no such folder: {root}' if not root.parent.is_dir() else text
    names = sorted(p.name[:-10] for p in root.glob('*_train.npz'))
    if names:
        text = f'{root} holds packed images: name one of them, ' + ' or '.join(
            str(root / n) for n in names
        )
    return text


def _indices(list_file: str, root: Path, dataset: BaseDataset) -> List[int]:
    path = Path(list_file)
    path = path if path.is_absolute() else root / path
    if not path.is_file():
        raise FileNotFoundError(f'no list {path}')
    found = []
    for line in read_lines(path):
        if not line.strip():
            continue
        parts = line.split()
        if len(parts) > 2 or not all(p.isdigit() for p in parts):
            raise ValueError(
                f"'{line}' in {path}: a set without files needs "
                'lines of an index, or an index and a label'
            )
        index = int(parts[0])
        if index >= len(dataset):
            raise ValueError(f'index {index} in {path}: the set has {len(dataset)} images')
        label = dataset.get_data_info(index).get('gt_label')
        if len(parts) == 2 and int(parts[1]) != label:
            raise ValueError(
                f'{path} gives image {index} the label '
                f'{parts[1]}, the set {label}: is the list of '
                'another set?'
            )
        found.append(index)
    if not found:
        raise ValueError(f'no image in {path}')
    return found


# ------------------------------------------------------------------ subsets
def balanced(
    labels: Sequence[int],
    fraction: Optional[float] = None,
    per_class: Optional[int] = None,
    seed: int = 0,
) -> List[int]:
    """Equally many samples of every class, drawn with a seed.

    Args:
        labels (Sequence[int]): Label of every sample, 0 or more.
        fraction (float, optional): Fraction of all samples, in 0 .. 1; every class
            gets its part rounded, at least 1. Defaults to None.
        per_class (int, optional): Samples a class, instead. Defaults to None.
        seed (int): Seed of the draw. Defaults to 0.

    Returns:
        list[int]: Indices in ascending order.

    Raises:
        ValueError: If labels are missing, neither or both of the sizes are
            given, or a class has fewer samples than that.
    """
    labels = np.asarray(labels)
    if not len(labels) or labels.min() < 0:
        raise ValueError('a balanced part needs a label of every image')
    if (fraction is None) == (per_class is None):
        raise ValueError('give either a fraction or the images a class')
    classes = np.unique(labels)
    if per_class is None:
        if not 0 < fraction <= 1:
            raise ValueError(f'fraction must be above 0 and at most 1, got {fraction}')
        per_class = max(1, round(fraction * len(labels) / len(classes)))
        # The classes of ImageNet differ in size (732 to 1300): all of a
        # small one, where its part of a large fraction is more than it has.
        smallest = 0
    else:
        if per_class < 1:
            raise ValueError(f'images a class must be 1 or more, got {per_class}')
        smallest = per_class
    rng = np.random.default_rng(seed)
    chosen = []
    for label in classes:
        own = np.flatnonzero(labels == label)
        if len(own) < smallest:
            raise ValueError(
                f'class {label} has {len(own)} images, fewer than the {per_class} asked for'
            )
        chosen += rng.permutation(own)[:per_class].tolist()
    return sorted(chosen)


def labels_of(dataset: BaseDataset) -> np.ndarray:
    """The label of every sample, without decoding an image.

    Args:
        dataset (BaseDataset): With ``get_data_info``.

    Returns:
        np.ndarray: (N,) int64.

    Raises:
        ValueError: If a sample has none.
    """
    labels = [dataset.get_data_info(i).get('gt_label') for i in range(len(dataset))]
    if None in labels:
        raise ValueError(
            f'{labels.count(None)} of {len(labels)} images have '
            'no label: one sub-folder a class is needed'
        )
    return np.array(labels, np.int64)


def list_lines(
    dataset: BaseDataset, indices: Sequence[int], folder: Optional[str] = None
) -> List[str]:
    """The lines of a list file for :func:`LabelledImages`.

    Args:
        dataset (BaseDataset): The whole training set.
        indices (Sequence[int]): Which of its samples.
        folder (str, optional): Folder that paths start from. Defaults to
            None: the dataset's own; sets without files get indices.

    Returns:
        list[str]: ``path class`` or ``index label``.
    """
    folder = folder or getattr(dataset, 'img_prefix', None)
    files = isinstance(dataset, ImageFolder)
    classes = getattr(dataset, 'CLASSES', None)
    lines = []
    for i in indices:
        info = dataset.get_data_info(i)
        label = info['gt_label']
        if files:
            path = os.path.relpath(info['img_path'], folder).replace(os.sep, '/')
            lines.append(f'{path} {classes[label] if classes else label}')
        else:
            lines.append(f'{i} {label}')
    return lines
