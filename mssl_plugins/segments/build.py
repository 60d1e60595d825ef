"""Makes, resumes and checks a segment store: ``tools/make_segments.py``.

Workers make the segments and one process writes them: every few seconds a small
shard, and a full shard as soon as there is enough for one.  A kill therefore
costs seconds, and the next start continues where it stopped.
"""

import errno
import fcntl
import json
import zipfile
from pathlib import Path
from typing import List, Optional, Sequence

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mssl_plugins.datasets.image_io import printable
from mssl_plugins.files import TEMPORARY, drop_link, progress, write_atomically
from mssl_plugins.segments.base import Generator
from mssl_plugins.segments.generators import build_generator, recipe
from mssl_plugins.segments.image_set import Image, read_image
from mssl_plugins.segments.store import (
    FORMAT,
    INDEX,
    Segments,
    SegmentStore,
    encode,
    first_names,
    read_index,
    read_shard,
)
from mssl_plugins.segments.writer import ShardWriter

SHARD = 1024  # images of a whole shard
SAMPLE = 64  # images that are compared to see whether the set is the same


class _Work(Dataset):
    """Segments of images, made in a worker of a loader."""

    def __init__(
        self,
        images: Sequence[Image],
        name: str,
        options: dict,
        generator: Optional[Generator] = None,
    ) -> None:
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
    cv2.setNumThreads(0)  # each core has a process already


def _differing(store: SegmentStore, images: Sequence[Image], places: np.ndarray) -> List[str]:
    """The images whose stored segments were made from another image."""
    there = [i for i, at in enumerate(places) if at >= 0 and store.readable(at)]
    wrong = []
    for i in there[:: max(len(there) // SAMPLE, 1)]:
        img = read_image(images[i])[0]
        if img is not None and not store.is_of(int(places[i]), img):
            wrong.append(images[i].key)
    return wrong


def make(
    images: Sequence[Image],
    out: str,
    name: str,
    options: Optional[dict] = None,
    workers: int = 0,
    shard: int = SHARD,
    shown: bool = True,
) -> List[str]:
    """Makes the segments of images, or continues to.

    Args:
        images (Sequence[Image]): See :func:`~mssl_plugins.segments.image_set.find_images`.
        out (str): The folder to write.
        name (str): Name of a generator.
        options (dict, optional): Options of the generator. Defaults to None: its
            own defaults.
        workers (int): Number of processes; 0: this process. Defaults to 0.
        shard (int): Images in a full shard. Defaults to 1024.
        shown (bool): Whether to show a progress bar. Defaults to True.

    Returns:
        list[str]: Keys of the images that could not be read.

    Raises:
        ValueError: If ``out`` was made with other settings or for other images,
            or a name is unknown.
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
                raise ValueError(
                    f'{folder} was made with {key} {before.get(key)}, now given: '
                    f'{about[key]}; remove it, or name another folder'
                )
    folder.mkdir(parents=True, exist_ok=True)
    drop_link(folder / '.lock')
    with open(folder / '.lock', 'w') as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not inherited by workers
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise RuntimeError(f'another process is writing to {folder}') from None
            # else: a file system without locks
        _clean(folder)
        todo = images
        if any(folder.glob('*.zip')):
            store = SegmentStore(folder)
            places = store.find((image.key for image in images), exact=True)
            if (places < 0).all():
                raise ValueError(
                    f'{folder} holds segments of {len(store)} other images; remove it, or name '
                    'another folder'
                )
            if wrong := _differing(store, images, places):
                raise ValueError(
                    f'{folder} holds segments of other images under the same names: '
                    f'{first_names(wrong)}; remove it, or name another folder'
                )
            done = (places >= 0) & store.readable(places)
            todo = [image for image, there in zip(images, done) if not there]
        text = json.dumps(about, indent=2) + '\n'
        write_atomically(text.encode(), folder / INDEX)
        work = _Work(todo, name, options, generator)
        return _fill(folder, work, len(images), workers, shard, shown)


def _clean(folder: Path) -> None:
    """Removes partial files that a kill or a full disk left."""
    for path in folder.glob(f'*{TEMPORARY}'):
        path.unlink()
    for path in folder.glob('*.zip'):
        try:
            read_shard(path)
        except ValueError:
            print(f'{path} is truncated: its images are made anew')
            path.unlink()


def _fill(
    folder: Path, work: _Work, total: int, workers: int, shard: int, shown: bool
) -> List[str]:
    """Makes the segments that are still missing."""
    left = len(work)
    if total > left:
        print(f'{total - left} of {total} images have segments already')
    unreadable, writer, workers = [], ShardWriter(folder, shard), min(workers, left)
    loader = DataLoader(
        work,
        batch_size=None,
        collate_fn=_as_is,
        num_workers=workers,
        worker_init_fn=_quiet,
        # CUDA does not survive a fork
        multiprocessing_context='spawn' if workers and torch.cuda.is_initialized() else None,
    )
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
    """Checks a segment store for these images.

    Args:
        images (Sequence[Image]): See :func:`~mssl_plugins.segments.image_set.find_images`.
        path (str): The segment store.

    Returns:
        list[str]: One line for each fault: damaged shards, missing segments
        (their number and first names), segments of other images. Empty if
        there is none.

    Raises:
        FileNotFoundError: If there is no such store.
        ValueError: If it is no segment store, or empty.
    """
    folder = Path(path).expanduser()
    read_index(folder)
    damaged = []
    for shard in sorted(folder.glob('*.zip')):
        try:
            read_shard(shard)
            with zipfile.ZipFile(shard) as archive:
                bad = archive.testzip()
        except (zipfile.BadZipFile, OSError, ValueError):
            bad = 'its end'
        if bad is not None:
            damaged.append(f'{shard} is truncated or damaged ({printable(bad)})')
    if damaged:
        return damaged
    store = SegmentStore(folder)
    places = store.find(image.key for image in images)
    missing = [image.key for image, at in zip(images, places) if at < 0]
    unreadable = [
        image.key for image, at in zip(images, places) if at >= 0 and not store.readable(at)
    ]
    faults = []
    if missing:
        faults.append(
            f'{len(missing)} of {len(images)} images have no segments: {first_names(missing, 10)}'
        )
    if unreadable:
        faults.append(
            f'{len(unreadable)} of {len(images)} images have no segments, for they '
            f'could not be read: {first_names(unreadable, 10)}'
        )
    if wrong := _differing(store, images, places):
        faults.append(
            f'segments of other images: {len(wrong)} of at most {2 * SAMPLE} looked '
            f'at, {first_names(wrong)}'
        )
    return faults
