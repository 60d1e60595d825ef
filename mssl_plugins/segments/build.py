"""Making, going on with and checking a segments file: ``tools/make_segments.py``.

Mask-guided attention bias, our definition, section "Mask generation".  Workers
make segments, one process writes: every few seconds what is there as a small
shard, and whole shards as soon as there is enough for one.  So a kill costs
seconds, and the next start goes on where it stopped.
"""
import fcntl
import json
import os
import time
import zipfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mssl_plugins.config import find_set, read_config
from mssl_plugins.files import progress
from mssl_plugins.segments.generators import Generator, build_generator, recipe
from mssl_plugins.segments.store import (FORMAT, INDEX, Segments, SegmentsFile, _some, encode, names_of, read_index,
                       read_shard, write_shard)

SHARD = 1024  # images of a whole shard
SECONDS = 5.  # after which what is made is written
SAMPLE = 64  # images that are looked at to see whether they are the same


class Image(NamedTuple):
    """Where an image of a set is: its key, dataset and place in there."""
    key: str
    dataset: object
    index: int


def _leaves(dataset) -> list:
    """The datasets that a joined or repeated one is made of."""
    inner = getattr(dataset, 'datasets', None)
    if inner is None and hasattr(dataset, 'dataset'):
        inner = [dataset.dataset]
    return [dataset] if inner is None else [leaf for d in inner for leaf in _leaves(d)]


def _bare(cfg: dict) -> dict:
    """A dataset's config, and those inside, without transforms."""
    cfg = dict(cfg)
    for key in ('dataset', 'datasets'):
        if isinstance(cfg.get(key), dict):
            return dict(cfg, **{key: _bare(cfg[key])})
        if cfg.get(key) is not None:
            return dict(cfg, **{key: [_bare(inner) for inner in cfg[key]]})
    cfg['pipeline'] = []
    if str(cfg.get('type')).endswith('PackedImages'):
        cfg['cache'] = False
    return cfg


def _root(dataset) -> str:
    """The folder that a dataset's names of images are relative to."""
    first = dataset.get_data_info(0)
    if 'packed_at' in first:
        return os.path.dirname(dataset.ann_file)
    root = getattr(dataset, 'img_prefix', None) or ''
    return root if str(first.get('img_path', '')).startswith(root) else ''


def find_images(data: str, split: str = 'train') -> List[Image]:
    """All images that a command line names, each once.

    Args:
        data (str): A folder of images; a bundle (.npz) of
            ``mssl_plugins.PackedImages``; or a config, by path or shipped
            name, whose images are then taken.
        split (str): Of a config, 'train' (what it trains on) or 'test' (the
            queries of its KNNHook). Defaults to 'train'.

    Returns:
        list[Image]: In the order of the set.

    Raises:
        FileNotFoundError: If there is no such thing.
        ValueError: If there is no image in it.
    """
    from mssl_plugins.registry import DATASETS
    if os.path.isdir(data):
        cfg = dict(type='mssl_plugins.ImageFolder', data_root=data, labels=False)
    elif data.endswith('.npz'):
        cfg = dict(type='mssl_plugins.PackedImages', ann_file=data)
    else:
        config = read_config(data)
        if split == 'train' and 'train_dataloader' in config:
            cfg = config.train_dataloader.dataset
        else:
            cfg = find_set(config, split)['dataset']
        cfg = getattr(cfg, 'to_dict', lambda: cfg)()
    leaves = _leaves(DATASETS.build(_bare(cfg)))
    roots = [_root(leaf) for leaf in leaves]
    if len(set(roots)) > 1:  # of several folders what they have in common
        absolute = [os.path.abspath(root) for root in roots if root]
        common = os.path.commonpath(absolute)
        roots = [os.path.relpath(common) if root else '' for root in roots]
    images = {}
    for leaf, root in zip(leaves, roots):
        for index, name in enumerate(names_of(leaf)):
            key = (os.path.relpath(name, root) if root else name).replace(os.sep, '/')
            images.setdefault(key, Image(key, leaf, index))
    return list(images.values())


def read_image(image: Image) -> Tuple[Optional[np.ndarray], dict]:
    """(H, W, 3) uint8 RGB, None if unreadable, and what is known of it."""
    from mssl_plugins.datasets.transforms.views import input_image
    info = image.dataset.get_data_info(image.index)
    if hasattr(image.dataset, 'load'):
        return image.dataset.load(info), info
    try:
        sample = image.dataset[image.index]
        return input_image(sample), sample
    except (ValueError, OSError):
        return None, info


class _Work(Dataset):
    """Segments of images, made in a worker of a loader."""

    def __init__(self, images: Sequence[Image], name: str, options: dict,
                 generator: Optional[Generator] = None) -> None:
        self.images, self.name, self.options = images, name, options
        self.generator = generator

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Segments:
        if self.generator is None:  # in the worker: sessions cannot be sent
            self.generator = build_generator(self.name, self.options)
        image = self.images[index]
        img, sample = read_image(image)
        if img is None:
            return Segments(image.key, b'')
        return encode(image.key, self.generator(img, image.key, sample), img)


def _as_is(item):
    return item


def _quiet(_: int) -> None:
    cv2.setNumThreads(0)  # the processes are the threads


class _Writer:
    """Writes segments as they come; see the module."""

    def __init__(self, folder: Path, shard: int) -> None:
        self.folder, self.shard = folder, shard
        self.waiting: List[Segments] = []
        self.written = time.monotonic()
        # what earlier runs left to be joined
        self.parts: Dict[Path, int] = {
            path: len(read_shard(path)) for path in sorted(folder.glob('part-*.zip'))}

    def add(self, entry: Segments) -> None:
        self.waiting.append(entry)
        if len(self.waiting) >= self.shard or time.monotonic() - self.written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        self.written = time.monotonic()
        if self.waiting:
            path = self._free('part')
            write_shard(path, self.waiting)
            self.parts[path], self.waiting = len(self.waiting), []
        while sum(self.parts.values()) >= self.shard:
            self.join()

    def join(self) -> None:
        """Make one shard of the first parts that fill it."""
        chosen, count = [], 0
        for path, size in self.parts.items():
            chosen.append(path)
            count += size
            if count >= self.shard:
                break
        write_shard(self._free('shard'), self._stored(chosen))
        for path in chosen:  # only now: killed before, they are there twice
            path.unlink()
            del self.parts[path]

    def finish(self) -> None:
        """Write and join all that is there."""
        self.flush()
        if self.parts:
            self.join()

    @staticmethod
    def _stored(paths: Sequence[Path]):
        for path in paths:
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    height, width, cells = info.comment.split()
                    yield Segments(info.filename[:-4], archive.read(info),
                                   (int(height), int(width)),
                                   np.frombuffer(bytes.fromhex(cells.decode()), np.uint8))

    def _free(self, kind: str) -> Path:
        numbers = [int(p.stem.rsplit('-', 1)[1]) for p in self.folder.glob(f'{kind}-*.zip')]
        return self.folder / f'{kind}-{max(numbers, default=-1) + 1:06d}.zip'


def _differing(file: SegmentsFile, images: Sequence[Image], places: np.ndarray) -> List[str]:
    """Of some images with segments those that were made from other pictures."""
    there = [i for i, at in enumerate(places) if at >= 0 and file.readable(at)]
    wrong = []
    for i in there[::max(len(there) // SAMPLE, 1)]:
        img = read_image(images[i])[0]
        if img is not None and not file.is_of(int(places[i]), img):
            wrong.append(images[i].key)
    return wrong


def make(images: Sequence[Image], out: str, name: str, options: Optional[dict] = None,
         workers: int = 0, shard: int = SHARD, shown: bool = True) -> List[str]:
    """Make the segments of images, or go on with it.

    Args:
        images (Sequence[Image]): See :func:`find_images`.
        out (str): The folder to write.
        name (str): Of a generator.
        options (dict, optional): Of the generator.
        workers (int): Processes; 0: this one. Defaults to 0.
        shard (int): Images of a whole shard. Defaults to 1024.
        shown (bool): Whether to show a progress bar. Defaults to True.

    Returns:
        list[str]: Keys of the images that could not be read.

    Raises:
        ValueError: If ``out`` was made in another way or for other images, or
            for unknown names.
        RuntimeError: If another process writes to ``out``.
    """
    options = dict(options or {})
    generator = build_generator(name, options)  # refuses mistakes now, not in a worker
    if workers:
        generator = None  # each has its own
    folder = Path(out).expanduser()
    about = dict(format=FORMAT, generator=name, options=recipe(name, options), images=len(images))
    about = json.loads(json.dumps(about))
    if folder.exists() and any(folder.iterdir()):
        before = read_index(folder)
        for key in ('generator', 'options'):
            if before.get(key) != about[key] and any(folder.glob('*.zip')):
                raise ValueError(f'{folder} was made with {key} {before.get(key)}, now given: '
                                 f'{about[key]}; give another OUT, or remove it')
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / '.lock', 'w') as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not inherited by workers
        except OSError:
            raise RuntimeError(f'another process is writing to {folder}') from None
        _clean(folder)
        todo = images
        if any(folder.glob('*.zip')):
            file = SegmentsFile(folder)
            places = file.find(image.key for image in images)
            if (places < 0).all():
                raise ValueError(f'{folder} holds segments of {len(file)} other images; give '
                                 'another OUT')
            if wrong := _differing(file, images, places):
                raise ValueError(f'{folder} holds segments of other images under the same names: '
                                 f'{_some(wrong)}; give another OUT')
            done = (places >= 0) & file.readable(places)
            todo = [image for image, there in zip(images, done) if not there]
        part = folder / (INDEX + '.incomplete')
        part.write_text(json.dumps(about, indent=2) + '\n', encoding='utf-8')
        os.replace(part, folder / INDEX)
        work = _Work(todo, name, options, generator)
        return _fill(folder, work, len(images), workers, shard, shown)


def _clean(folder: Path) -> None:
    """Take away what a kill or a full disk left."""
    for path in folder.glob('*.incomplete'):
        path.unlink()
    for path in folder.glob('*.zip'):
        try:
            read_shard(path)
        except ValueError:
            print(f'{path} is truncated: its images are made anew')
            path.unlink()


def _fill(folder: Path, work: _Work, total: int, workers: int, shard: int,
          shown: bool) -> List[str]:
    """The work of :func:`make`, once it is known what is left."""
    left = len(work)
    if total > left:
        print(f'{total - left} of {total} images have segments already')
    unreadable, writer, workers = [], _Writer(folder, shard), min(workers, left)
    loader = DataLoader(
        work, batch_size=None, collate_fn=_as_is, num_workers=workers, worker_init_fn=_quiet,
        # CUDA does not survive a fork
        multiprocessing_context='spawn' if workers and torch.cuda.is_initialized() else None)
    try:
        for entry in progress(loader, left, shown and left > 0):
            if not entry.png:
                unreadable.append(entry.key)
            writer.add(entry)
    except BaseException:  # what is made is made
        writer.flush()
        raise
    writer.finish()
    return unreadable


def check(images: Sequence[Image], path: str) -> List[str]:
    """What is wrong with a segments file, for these images.

    Args:
        images (Sequence[Image]): See :func:`find_images`.
        path (str): The segments file.

    Returns:
        list[str]: One line a fault: damaged shards, missing segments with
        their number and first names, other images. Empty: all is well.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is none, or empty.
    """
    folder = Path(path).expanduser()
    read_index(folder)
    damaged = []
    for shard in sorted(folder.glob('*.zip')):
        try:
            with zipfile.ZipFile(shard) as archive:
                bad = archive.testzip()
        except (zipfile.BadZipFile, OSError):
            bad = 'its end'
        if bad is not None:
            damaged.append(f'{shard} is truncated or damaged ({bad})')
    if damaged:
        return damaged
    file = SegmentsFile(folder)
    places = file.find(image.key for image in images)
    missing = [image.key for image, at in zip(images, places) if at < 0]
    unreadable = [image.key for image, at in zip(images, places)
                  if at >= 0 and not file.readable(at)]
    faults = []
    if missing:
        faults.append(f'{len(missing)} of {len(images)} images have no segments: '
                      f'{_some(missing, 10)}')
    if unreadable:
        faults.append(f'{len(unreadable)} of {len(images)} images have no segments, for they '
                      f'could not be read: {_some(unreadable, 10)}')
    if wrong := _differing(file, images, places):
        faults.append(f'segments of other images: {len(wrong)} of at most {2 * SAMPLE} looked '
                      f'at, {_some(wrong)}')
    return faults
