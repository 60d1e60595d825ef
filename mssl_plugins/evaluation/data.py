"""Labeled images for an evaluation: datasets, drawn subsets, transforms."""

import hashlib
import json
import os
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.registry import DATASETS

from mssl_plugins.checkpoints.images import INTERPOLATION, resize_for
from mssl_plugins.config import knn_hook
from mssl_plugins.datasets.labelled import balanced, labels_of, list_lines
from mssl_plugins.files import as_bytes, read_lines, write_atomically


def data_hash(dataset) -> str:
    """16 digits that change when images, labels or their order do.

    Files count with their name, size and modification time, images in memory
    with their content.

    Args:
        dataset (mmengine.dataset.BaseDataset): The dataset.

    Returns:
        str: Hexadecimal digits.
    """
    digest = hashlib.sha256(str(len(dataset)).encode())
    seen = set()
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        path = info.get('img_path')
        digest.update(as_bytes([f'{path} {info.get("gt_label")}']))
        if isinstance(info.get('img'), np.ndarray):
            digest.update(info['img'].tobytes())
        elif path and not os.path.isfile(path):  # in packed images
            path = getattr(dataset, 'ann_file', None)
        if path and path not in seen and os.path.isfile(path):
            seen.add(path)
            stat = os.stat(path)
            digest.update(f'{stat.st_size} {stat.st_mtime_ns}'.encode())
    return digest.hexdigest()[:16]


def middle_image(dataset, most: int = 9) -> np.ndarray:
    """The image of the median short side among a few of a set, (H, W, C).

    Args:
        dataset (Sized): Its samples hold ``img``.
        most (int): How many are looked at, evenly spaced. Defaults to 9.
    """
    places = np.linspace(0, len(dataset) - 1, min(most, len(dataset))).round()
    images = [dataset[int(place)]['img'] for place in places]
    return sorted(images, key=lambda img: min(img.shape[:2]))[len(images) // 2]


def input_size(
    image: np.ndarray,
    size: Optional[int] = None,
    resize: Optional[int] = None,
    native: Optional[int] = None,
) -> Tuple[int, int]:
    """Side of a network's input, and short side before the center crop, both in px.

    Args:
        image (np.ndarray): One of the images, (H, W, 3), see :func:`middle_image`.
        size (int, optional): See :class:`EvaluationData`. Defaults to None.
        resize (int, optional): See :class:`EvaluationData`. Defaults to None.
        native (int, optional): See :class:`EvaluationData`. Defaults to None.

    Returns:
        tuple[int, int]: The two sides; equal for small images.

    Raises:
        ValueError: If ``resize`` is less than ``size``.
    """
    short = min(image.shape[:2])
    size = size or native or (224 if short >= 128 else short)
    resize = resize or resize_for(size)
    if resize < size:
        raise ValueError(f'--resize {resize} is smaller than --size {size}')
    return size, resize


def center_view(size: int, resize: Optional[int] = None) -> List[dict]:
    """The deterministic transform with the sides of :func:`input_size`."""
    return [
        dict(
            type='mssl_plugins.CenterView',
            size=size,
            resize=resize or resize_for(size),
            interpolation=INTERPOLATION,
        ),
        dict(type='mssl_plugins.PackViews'),
    ]


class EvaluationData:
    """Train and test images under one transform.

    Args:
        folder (str): See :func:`mssl_plugins.datasets.labelled.LabelledImages`.
        work_dir (Path): Folder for the lists of drawn images.
        size (int, optional): Side of the network's input in px. Defaults to
            None: ``native``, or 224, or the images' own where they are
            smaller than 128 px.
        resize (int, optional): Short side before the center crop. Defaults to
            None: 256 for 224 and in proportion; small images are not cropped.
        native (int, optional): The network's own size in px. Defaults to None:
            it takes any.
        classes (str, optional): File with the classes to take. Defaults to
            None: all.
        train_images, test_images (int, optional): At most this many of each
            set, spread evenly over the classes, drawn with ``seed``. Default
            to None: all.
        seed (int): Seed of these draws. Defaults to 0.

    Raises:
        FileNotFoundError: If there is no such data.
        ValueError: If labels are missing, or the two sets' classes differ.
    """

    def __init__(
        self,
        folder: str,
        work_dir: Path,
        size: Optional[int] = None,
        resize: Optional[int] = None,
        native: Optional[int] = None,
        classes: Optional[str] = None,
        train_images: Optional[int] = None,
        test_images: Optional[int] = None,
        seed: int = 0,
    ) -> None:
        if not Path(folder).exists() and not list(
            Path(folder).parent.glob(f'{Path(folder).name}_*.npz')
        ):
            raise FileNotFoundError(f'no such data: {folder}')
        self.specs = {
            split: dict(
                type='mssl_plugins.LabelledImages',
                data_root=os.path.abspath(folder),
                split=name,
                **(dict(classes=os.path.abspath(classes)) if classes else {}),
            )
            for split, name in (('train', 'train'), ('test', 'val'))
        }
        self.work_dir, self.seed = work_dir, seed
        self.sets = {k: self._build(v) for k, v in self.specs.items()}
        self.labels = {k: torch.from_numpy(labels_of(v)) for k, v in self.sets.items()}
        self._check_classes()
        for split, count in (('train', train_images), ('test', test_images)):
            if count is not None and count < len(self.sets[split]):
                self.specs[split]['list_file'] = self._draw(split, count)
                self.sets[split] = self._build(self.specs[split])
                self.labels[split] = torch.from_numpy(labels_of(self.sets[split]))
        image = middle_image(self.sets['train'])
        short, long = min(image.shape[:2]), max(image.shape[:2])
        self.size, self.resize = input_size(image, size, resize, native)
        self.whole = short == long == self.size  # nothing to cut

    @staticmethod
    def _build(spec: dict, pipeline: Sequence[dict] = ()):
        # Without a pipeline only labels are read: neither worth decoding images
        # nor packing the list for workers.
        used = bool(pipeline)
        return DATASETS.build(dict(spec, pipeline=list(pipeline), cache=used, serialize_data=used))

    def _check_classes(self) -> None:
        names = {k: getattr(v, 'CLASSES', None) for k, v in self.sets.items()}
        seen = {k: set(v.tolist()) for k, v in self.labels.items()}
        if names['train'] and names['test'] and tuple(names['train']) != tuple(names['test']):
            only = sorted(set(names['train']) ^ set(names['test']))
            raise ValueError(
                f'the training set has {len(names["train"])} classes, the test set '
                f'{len(names["test"])}; in one of them only: '
                f'{", ".join(only[:5]) or "none, the order differs"}'
            )
        strange = sorted(seen['test'] - seen['train'])
        if strange:
            raise ValueError(
                f'the training set has {len(seen["train"])} classes, the test set '
                f'{len(seen["test"])}: no training image has the label(s) '
                f'{", ".join(map(str, strange[:5]))}'
            )
        if len(seen['train']) < 2:
            raise ValueError('the training set has one class only: nothing to tell apart')
        self.num_classes = len(names['train'] or ()) or max(seen['train']) + 1

    def _draw(self, split: str, count: int, name: str = '') -> str:
        """Writes a list of ``count`` images, evenly from all classes; returns its path."""
        each = count // len(set(self.labels[split].tolist()))
        if not each:
            raise ValueError(f'{count} images are less than one a class')
        chosen = balanced(
            self.labels[split].numpy(), fraction=count / len(self.labels[split]), seed=self.seed
        )
        lines = as_bytes(list_lines(self.sets[split], chosen))
        stamp = hashlib.sha256(lines).hexdigest()[:8]
        path = self.work_dir / f'{name or split}-{len(chosen)}-{stamp}.txt'
        if is_main_process() and not path.is_file():
            write_atomically(lines, path)
        barrier()
        return str(path.absolute())

    def few_labels(self, fraction: float, given: Optional[str] = None) -> dict:
        """The training set's config with only a part of its images.

        Args:
            fraction (float): Fraction of the images; 1 for all.
            given (str, optional): The user's list of images, instead of a
                fraction. Defaults to None: a list is drawn.

        Returns:
            dict: Config of a :func:`~mssl_plugins.datasets.labelled.LabelledImages`.

        Raises:
            FileNotFoundError: If there is no such list.
        """
        spec = dict(self.specs['train'])
        if given is not None:
            if not Path(given).is_file():
                raise FileNotFoundError(f'no list {given}')
            return dict(spec, list_file=os.path.abspath(given))
        if fraction == 1:
            return spec
        if 'list_file' not in spec:
            count = max(self.num_classes, round(fraction * len(self.sets['train'])))
            return dict(spec, list_file=self._draw('train', count, 'labels'))
        # Some of the images that were drawn before, by the lines of their list.
        lines = [line for line in read_lines(spec['list_file']) if line]
        chosen = balanced(self.labels['train'].numpy(), fraction=fraction, seed=self.seed)
        path = self.work_dir / f'labels-{fraction}-of-{Path(spec["list_file"]).name}'
        if is_main_process():
            write_atomically(as_bytes(lines[i] for i in chosen), path)
        barrier()
        return dict(spec, list_file=str(path.absolute()))

    def center(self, split: str):
        """The training or test set under the deterministic transform."""
        return self._build(self.specs[split], center_view(self.size, self.resize))

    def augmented(self):
        """The training set under random crops and flips."""
        view = dict(num=1, size=self.size, flip=0.5)
        view.update(
            dict(crop='pad', padding=self.size // 8)
            if self.whole
            else dict(scale=(0.08, 1.0), interpolation='bicubic')
        )
        return self._build(
            self.specs['train'],
            [dict(type='mssl_plugins.Views', views=[view]), dict(type='mssl_plugins.PackViews')],
        )

    @property
    def key(self) -> str:
        """16 digits that identify images, labels and transform."""
        parts = [data_hash(self.sets[k]) for k in ('train', 'test')]
        text = json.dumps([*parts, self.size, self.resize])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def use_data(cfg, folder: str) -> None:
    """Puts labeled images in the place of a classification config's data.

    Args:
        cfg (mmengine.Config): A config of ``configs/benchmarks/classification``;
            changed in place. A ``list_file`` stays, below the new folder.
        folder (str): See :func:`mssl_plugins.datasets.labelled.LabelledImages`.

    Raises:
        FileNotFoundError, ValueError: As :class:`EvaluationData`.
    """
    data = EvaluationData(folder, Path('.'))
    knn = knn_hook(cfg) or {}
    for loader, split in (
        (cfg.train_dataloader, 'train'),
        (cfg.val_dataloader, 'test'),
        (cfg.test_dataloader, 'test'),
        (knn.get('bank'), 'train'),
        (knn.get('test'), 'test'),
    ):
        if loader:
            kept = {k: v for k, v in loader.dataset.items() if k in ('pipeline', 'list_file')}
            loader.dataset = dict(data.specs[split], **kept)
    cfg.model.head.num_classes = data.num_classes
    if cfg.get('data_preprocessor'):
        cfg.data_preprocessor.num_classes = data.num_classes
    for name in ('val_evaluator', 'test_evaluator'):
        if cfg[name].get('topk') and data.num_classes < 5:
            cfg[name].topk = (1,)
