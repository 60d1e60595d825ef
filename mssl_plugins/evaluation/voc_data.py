"""Images with several labels each, in the layout of Pascal VOC."""

import hashlib
from pathlib import Path
from typing import Dict, List, Optional
from xml.etree import ElementTree

import numpy as np
from mmengine.registry import DATASETS

from mssl_plugins.evaluation.data import center_view, data_hash, input_size, middle_image

# VOC2007's splits first; data without test labels (VOC2012) is measured on 'val'.
SPLITS = (dict(train='trainval', test='test'), dict(train='train', test='val'))
LEAST = 3  # images with and without a class: one for each fold of the cross-validation


class VocData:
    """Training and test images, each with any number of classes.

    Args:
        folder (str): A folder with ``JPEGImages`` and ``ImageSets/Main``, in itself,
            in ``VOCdevkit/VOC2007`` or in ``VOC2007``. The labels are those of
            ``Main/CLASS_SPLIT.txt``, or, if there is no such file, of the objects in
            ``Annotations``. Splits are trainval and test, or, if one of them is
            missing, train and val.
        size (int, optional): See
            :class:`mssl_plugins.evaluation.data.EvaluationData`. Defaults to None.
        resize (int, optional): See the same class. Defaults to None.
        native (int, optional): See the same class. Defaults to None.
        classes (str, optional): File with the classes to take, one a line. Defaults
            to None: all.

    Attributes:
        names (list[str]): Names of the classes, sorted.
        files (dict[str, list[str]]): 'train' and 'test': paths of the images.
        labels (dict[str, np.ndarray]): 'train' and 'test': (N, C) int8: 1 if the
            class is in the image, -1 if it is not, 0 if all its objects are marked as
            difficult.

    Raises:
        FileNotFoundError: If a list, an image or an annotation is missing.
        ValueError: If a line is no label, or a class has too few images.
    """

    def __init__(
        self,
        folder: str,
        size: Optional[int] = None,
        resize: Optional[int] = None,
        native: Optional[int] = None,
        classes: Optional[str] = None,
    ) -> None:
        roots = [Path(folder) / part for part in ('', 'VOCdevkit/VOC2007', 'VOC2007')]
        self.root = next((r for r in roots if (r / 'ImageSets/Main').is_dir()), roots[0])
        self.lists = self.root / 'ImageSets/Main'
        self.splits = next((s for s in SPLITS if self._has(s)), None)
        if self.splits is None:
            raise FileNotFoundError(
                f'no {self.lists}/trainval.txt and test.txt (or train.txt and val.txt): images '
                'with several labels lie as in Pascal VOC, in JPEGImages, their names in '
                'ImageSets/Main'
            )
        images = {k: (self.lists / f'{s}.txt').read_text().split() for k, s in self.splits.items()}
        self.names = self._classes(images)
        if classes:
            self.names = sorted({n.strip() for n in Path(classes).read_text().split('\n')} - {''})
        if not self.names:
            raise ValueError(f'{classes or self.root} names no class')
        self.labels = {k: self._labels(names, self.splits[k]) for k, names in images.items()}
        self.files = {
            k: [str(self.root / f'JPEGImages/{n}.jpg') for n in v] for k, v in images.items()
        }
        for files in self.files.values():
            missing = [f for f in files if not Path(f).is_file()]
            if missing:
                raise FileNotFoundError(
                    f'{len(missing)} of {len(files)} images are missing, the first: {missing[0]}'
                )
        self._check()
        image = middle_image(self._build('train', []))
        self.size, self.resize = input_size(image, size, resize, native)

    def _has(self, splits: Dict[str, str]) -> bool:
        return all((self.lists / f'{s}.txt').is_file() for s in splits.values())

    # -- labels
    def _objects(self, name: str) -> Dict[str, bool]:
        """The classes in an annotation, and whether an object of each is not difficult."""
        file = self.root / f'Annotations/{name}.xml'
        if not file.is_file():
            raise FileNotFoundError(
                f'no {file}, nor lists of labels as {self.lists}/CLASS_SPLIT.txt'
            )
        found: Dict[str, bool] = {}
        for entry in ElementTree.parse(file).iter('object'):
            kind = str(entry.findtext('name')).strip()
            clear = str(entry.findtext('difficult', '0')).strip() != '1'
            found[kind] = found.get(kind, False) or clear
        return found

    def _classes(self, images: Dict[str, List[str]]) -> List[str]:
        end = f'_{self.splits["train"]}.txt'
        listed = sorted(f.name[: -len(end)] for f in self.lists.glob(f'*{end}'))
        if listed:
            return listed
        return sorted({c for names in images.values() for n in names for c in self._objects(n)})

    def _labels(self, images: List[str], split: str) -> np.ndarray:
        table = np.full((len(images), len(self.names)), -1, np.int8)
        row = {name: i for i, name in enumerate(images)}
        files = [self.lists / f'{name}_{split}.txt' for name in self.names]
        if not any(f.is_file() for f in files):
            for name, i in row.items():
                for kind, clear in self._objects(name).items():
                    if kind in self.names:
                        table[i, self.names.index(kind)] = int(clear)
            return table
        for column, file in enumerate(files):
            if not file.is_file():
                raise FileNotFoundError(f'no {file}: every class needs a list for each split')
            for line in filter(str.strip, file.read_text().split('\n')):
                name, label, *more = [*line.split(), '', '']
                if label not in ('1', '0', '-1') or any(more):
                    raise ValueError(f"{file}: '{line}' is no image with 1, 0 or -1")
                if name in row:
                    table[row[name], column] = int(label)
        return table

    def _check(self) -> None:
        for split, labels in self.labels.items():
            for name, column in zip(self.names, labels.T):
                there, absent = int((column == 1).sum()), int((column != 1).sum())
                least = LEAST if split == 'train' else 1
                if min(there, absent) < least:
                    raise ValueError(
                        f"the class '{name}' is in {there} of {len(labels)} images of "
                        f"'{self.splits[split]}': {least} with it and {least} without it are "
                        'needed; --classes FILE names the classes to take'
                    )

    # -- images
    def _build(self, split: str, pipeline: List[dict]):
        spec = dict(type='mssl_plugins.GivenImages', images=self.files[split])
        return DATASETS.build(dict(spec, pipeline=pipeline))

    def images(self, split: str):
        """The images of 'train' or 'test' under the deterministic transform."""
        return self._build(split, center_view(self.size, self.resize))

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.names)

    @property
    def key(self) -> str:
        """16 digits that identify images, labels and transform."""
        digest = hashlib.sha256(repr((self.names, self.size, self.resize)).encode())
        for split in ('train', 'test'):
            digest.update(data_hash(self._build(split, [])).encode())
            digest.update(self.labels[split].tobytes())
        return digest.hexdigest()[:16]
