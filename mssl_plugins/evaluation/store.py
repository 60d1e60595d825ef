"""Frozen features kept on disk, and results that survive a kill.

Features lie in a folder named after the checkpoint's and the data's content,
in parts of a few thousand images, each file complete whenever it is there: a
second call computes only what is missing.
"""
import hashlib
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.files import write_atomically

from mssl_plugins.evaluation.features import extract_features
from mssl_plugins.models.readout import CONVS, Joined

PART = 2000  # images a file


class Bar:
    """One line that fills up; ten lines where there is no terminal.

    Args:
        title (str): What is being done.
        total (int): Of what is counted.
    """

    def __init__(self, title: str, total: int, stream=None) -> None:
        self.title, self.total, self.done = title, max(total, 1), 0
        self.stream = stream or sys.stdout
        self.live = self.stream.isatty()
        self.began, self.shown, self.first = time.time(), -1, 0

    def start_at(self, done: int) -> None:
        """What was there already."""
        self.done = self.first = done

    def update(self, count: int = 1) -> None:
        """``count`` more are done."""
        self.to(self.done + count)

    def to(self, done: int) -> None:
        """``done`` in all are done."""
        self.done = done
        tenth = 10 * done // self.total
        if not is_main_process() or not (self.live or tenth > self.shown):
            return
        self.shown = tenth
        new = max(done - self.first, 1)
        left = (time.time() - self.began) / new * max(self.total - done, 0)
        bar = ('#' * (20 * done // self.total))[:20].ljust(20, '.')
        text = (f'[{bar}] {self.title}: {done}/{self.total}, '
                f'{int(left) // 60}:{int(left) % 60:02d} left')
        self.stream.write(f'\r{text:<78}' if self.live else f'{text}\n')
        if self.live and done >= self.total:
            self.stream.write('\n')
        self.stream.flush()


def data_hash(dataset) -> str:
    """16 digits that change when images, labels or their order do.

    Files are known by name, size and time of change, images in memory by
    content.

    Args:
        dataset (mmengine.dataset.BaseDataset): The set.
    """
    digest = hashlib.sha256(str(len(dataset)).encode())
    seen = set()
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        path = info.get('img_path')
        digest.update(f"{path} {info.get('gt_label')}\n".encode())
        if isinstance(info.get('img'), np.ndarray):
            digest.update(info['img'].tobytes())
        elif path and not os.path.isfile(path):  # inside a bundle
            path = getattr(dataset, 'ann_file', None)
        if path and path not in seen and os.path.isfile(path):
            seen.add(path)
            stat = os.stat(path)
            digest.update(f'{stat.st_size} {stat.st_mtime_ns}'.encode())
    return digest.hexdigest()[:16]


class _Drawn(Dataset):
    """A data set whose random transforms depend on (view, index) alone."""

    def __init__(self, dataset, view: int) -> None:
        self.dataset, self.view = dataset, view

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int):
        return self.dataset[SampleIndex(int(index), 0, self.view)]


class FeatureStore:
    """Features of one backbone on disk.

    Args:
        folder (str | Path): Where; its name should tell checkpoint and data.
        model (nn.Module): With ``backbone`` and ``data_preprocessor``.
        **options: ``device``, ``dtype`` of
            :func:`mssl_plugins.evaluation.features.extract_features`, and
            ``batch_size`` and ``num_workers``.
    """

    def __init__(self, folder, model: nn.Module, batch_size: int = 64,
                 num_workers: int = 0, **options) -> None:
        self.folder, self.model, self.options = Path(folder), model, options
        self.loader = dict(batch_size=batch_size, num_workers=num_workers)
        self.seconds = 0.

    def _file(self, kind: str, split: str, begin: int) -> Path:
        return self.folder / f'{split}-{kind}-{begin:08d}.npy'

    def add(self, split: str, dataset, kinds: Sequence[str],
            view: int = -1) -> None:
        """Computes what is missing; every process of a group takes part.

        Args:
            split (str): Name of the set in the store.
            dataset (BaseDataset): Its images under the transform.
            kinds (Sequence[str]): See :mod:`mssl_plugins.models.readout`.
            view (int): Seed of random transforms. Defaults to -1: none.
        """
        began = time.time()
        whole = _Drawn(dataset, view) if view >= 0 else dataset
        bar = Bar(f'features, {split}', len(dataset))
        # No small part at the end: every process needs images.
        begins = list(range(0, max(len(dataset) - PART // 2, 1), PART))
        for begin, end in zip(begins, [*begins[1:], len(dataset)]):
            missing = [k for k in kinds if not self._file(k, split, begin).is_file()]
            if not missing:
                bar.start_at(end)
                continue
            self._compute(split, Subset(whole, range(begin, end)), missing,
                          begin, bar)
            bar.to(end)
        barrier()  # the main process has written everything
        self.seconds += time.time() - began

    def _compute(self, split: str, part: Dataset, kinds: List[str], begin: int,
                 bar: Bar) -> None:
        joined = Joined(self.model.backbone, kinds)
        handle = joined.register_forward_hook(
            lambda module, args, out: bar.update(len(out)))
        model = nn.Module()
        model.backbone = joined
        model.data_preprocessor = self.model.data_preprocessor
        values, labels = extract_features(
            model, dict(dataset=part, **self.loader), pool='last', **self.options)
        handle.remove()
        if not is_main_process():
            return
        for kind, columns in joined.split(values).items():
            array = columns.numpy()
            if kind in CONVS:  # 9,000 dimensions: half the disk
                array = array.clip(-65504, 65504).astype(np.float16)
            self._write(self._file(kind, split, begin), array)
        self._write(self._file('labels', split, begin), labels.numpy())

    @staticmethod
    def _write(path: Path, array: np.ndarray) -> None:
        data = io.BytesIO()
        np.save(data, array)
        write_atomically(data.getvalue(), path)

    def get(self, split: str, kind: str) -> Tensor:
        """(N, D) features of a split, float32 or float16.

        Raises:
            FileNotFoundError: If they were not added.
        """
        files = sorted(self.folder.glob(f'{split}-{kind}-*.npy'))
        if not files:
            raise FileNotFoundError(f'no {kind} features of {split} in {self.folder}')
        return torch.cat([torch.from_numpy(np.load(f)) for f in files])

    def pair(self, split: str, kind: str) -> Tuple[Tensor, Tensor]:
        """Features and labels."""
        return self.get(split, kind), self.get(split, 'labels')


class Results:
    """Rows ``protocol, setting, metric, value, seconds`` in a file.

    Args:
        path (str | Path): Read if it is there; written at every new row.
    """

    FIELDS = ('protocol', 'setting', 'metric', 'value', 'seconds')

    def __init__(self, path) -> None:
        self.path = Path(path)
        self.rows: List[Dict] = []
        if self.path.is_file():
            self.rows = json.loads(self.path.read_text())

    def has(self, protocol: str, settings: Sequence[str]) -> bool:
        """Whether every setting of a protocol is there."""
        there = {r['setting'] for r in self.rows if r['protocol'] == protocol}
        return set(settings) <= there

    def add(self, rows: Sequence[Dict]) -> None:
        """Adds rows, in the place of those of the same setting and metric."""
        names = ('protocol', 'setting', 'metric')
        new = {tuple(r[n] for n in names) for r in rows}
        self.rows = [r for r in self.rows
                     if tuple(r[n] for n in names) not in new] + list(rows)
        if is_main_process():
            write_atomically(dump(self.rows), self.path)


def dump(rows: Sequence[Dict]) -> bytes:
    """Rows as JSON."""
    return json.dumps(list(rows), indent=1).encode() + b'\n'
