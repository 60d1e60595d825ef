"""Frozen features kept on disk, and results that survive a kill.

Features are kept in a folder named after the contents of checkpoint and data, in
files of 2,000 images.  A file is complete whenever it exists, so a second call
computes only what is missing.
"""

import io
import json
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset

from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.evaluation.features import extract_features
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.files import ProgressBar, write_atomically
from mssl_plugins.models.readout import CONVS, MultiFeature

PART = 2000  # images a file


class _Drawn(Dataset):
    """A data set whose random transforms depend on (view, index) alone."""

    def __init__(self, dataset, view: int) -> None:
        self.dataset, self.view = dataset, view

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int):
        return self.dataset[SampleIndex(int(index), 0, self.view)]


def _write(path: Path, array: np.ndarray) -> None:
    data = io.BytesIO()
    np.save(data, array)
    write_atomically(data.getvalue(), path)


def _read(path: Path, mapped: bool = False):
    try:
        array = np.load(path, mmap_mode='r' if mapped else None)
        return array if mapped else torch.from_numpy(array)
    except (ValueError, EOFError, TypeError) as error:
        raise ValueError(
            f'{path} is damaged ({error}): remove it, and it is computed anew'
        ) from None


class FeatureStore:
    """Features of one backbone on disk.

    Args:
        folder (str | Path): Folder of the files; its name should identify
            checkpoint and data.
        model (nn.Module): With ``backbone`` and ``data_preprocessor``.
        batch_size (int): Images in a batch. Defaults to 64.
        num_workers (int): Processes that read images. Defaults to 0.
        part (int, optional): Images in a file. Defaults to None: 2000.
        **options: ``device`` and ``dtype`` of
            :func:`mssl_plugins.evaluation.features.extract_features`.
    """

    def __init__(
        self,
        folder,
        model: nn.Module,
        batch_size: int = 64,
        num_workers: int = 0,
        part: Optional[int] = None,
        **options,
    ) -> None:
        self.part = part or PART
        self.folder, self.model, self.options = Path(folder), model, options
        self.loader = dict(batch_size=batch_size, num_workers=num_workers)
        self.seconds = 0.0

    @classmethod
    def from_options(
        cls, folder, model: nn.Module, options: EvaluationOptions, part: Optional[int] = None
    ) -> 'FeatureStore':
        """A store whose features are computed as the options of an evaluation say."""
        names = ('batch_size', 'num_workers', 'device', 'dtype')
        return cls(folder, model, part=part, **{n: getattr(options, n) for n in names})

    def _file(self, kind: str, split: str, begin: int) -> Path:
        return self.folder / f'{split}-{kind}-{begin:08d}.npy'

    def add(self, split: str, dataset, kinds: Sequence[str], view: int = -1) -> None:
        """Computes what is missing; every process of a group takes part.

        Args:
            split (str): Name of the set in the store.
            dataset (BaseDataset): The images under their transform.
            kinds (Sequence[str]): See :mod:`mssl_plugins.models.readout`.
            view (int): Seed of random transforms. Defaults to -1: none.
        """
        began = time.time()
        whole = _Drawn(dataset, view) if view >= 0 else dataset
        bar = ProgressBar(f'features, {split}', len(dataset), is_main_process())
        # No small part at the end: every process needs images.
        begins = list(range(0, max(len(dataset) - self.part // 2, 1), self.part))
        for begin, end in zip(begins, [*begins[1:], len(dataset)]):
            missing = [k for k in kinds if not self._file(k, split, begin).is_file()]
            if not missing:
                bar.start_at(end)
                continue
            self._compute(split, Subset(whole, range(begin, end)), missing, begin, bar)
            bar.to(end)
        barrier()  # the main process has written everything
        self.seconds += time.time() - began

    def _compute(
        self, split: str, part: Dataset, kinds: List[str], begin: int, bar: ProgressBar
    ) -> None:
        features = MultiFeature(self.model.backbone, kinds)
        handle = features.register_forward_hook(lambda module, args, out: bar.update(len(out)))
        model = nn.Module()
        model.backbone = features
        model.data_preprocessor = self.model.data_preprocessor
        values, labels = extract_features(
            model, dict(dataset=part, **self.loader), pool='last', **self.options
        )
        handle.remove()
        if not is_main_process():
            return
        for kind, columns in features.split(values).items():
            array = columns.numpy()
            if kind in CONVS:  # 9,000 dimensions: half the disk
                array = array.clip(-65504, 65504).astype(np.float16)
            _write(self._file(kind, split, begin), array)
        _write(self._file('labels', split, begin), labels.numpy())

    def parts(self, split: str, kind: str) -> Iterator[Tensor]:
        """Yields the (n, D) features of a split, float32 or float16, file by file.

        Raises:
            FileNotFoundError: If they were not added.
        """
        return map(_read, self._files(split, kind))

    def mapped(self, split: str, kind: str) -> List[np.ndarray]:
        """The files of :meth:`parts` as read-only memory maps, for access in any order.

        Raises:
            FileNotFoundError: If they were not added.
        """
        return [_read(file, mapped=True) for file in self._files(split, kind)]

    def _files(self, split: str, kind: str) -> List[Path]:
        files = sorted(self.folder.glob(f'{split}-{kind}-*.npy'))
        if not files:
            raise FileNotFoundError(f'no {kind} features of {split} in {self.folder}')
        return files

    def get(self, split: str, kind: str) -> Tensor:
        """(N, D) features of a split; see :meth:`parts`."""
        return torch.cat(list(self.parts(split, kind)))

    def pair(self, split: str, kind: str) -> Tuple[Tensor, Tensor]:
        """Features (N, D) and labels (N,) of a split."""
        return self.get(split, kind), self.get(split, 'labels')


class Results:
    """Rows ``protocol, setting, metric, value, seconds`` in a file.

    Args:
        path (str | Path): The file; read if it exists, written with every new
            row.

    Raises:
        ValueError: If the file is damaged.
    """

    FIELDS = ('protocol', 'setting', 'metric', 'value', 'seconds')

    def __init__(self, path) -> None:
        self.path = Path(path)
        self.rows: List[Dict] = []
        if self.path.is_file():
            try:
                self.rows = json.loads(self.path.read_text())
                for row in self.rows:
                    list(map(row.__getitem__, self.FIELDS))
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f'{self.path} is damaged ({error}): remove it, and its results are '
                    'measured anew'
                ) from None

    def has(self, protocol: str, settings: Sequence[str]) -> bool:
        """Whether there are rows for all these settings of a protocol."""
        there = {r['setting'] for r in self.rows if r['protocol'] == protocol}
        return set(settings) <= there

    def of(self, settings: Dict[str, Sequence[str]]) -> List[Dict]:
        """The rows of some protocols and settings, in their order.

        Args:
            settings (dict): Protocol -> settings.

        Returns:
            list[dict]: Rows with the fields of this class.
        """
        return [
            r
            for name, own in settings.items()
            for setting in own
            for r in self.rows
            if (r['protocol'], r['setting']) == (name, setting)
        ]

    def add(self, rows: Sequence[Dict]) -> None:
        """Adds rows; they replace those of the same setting and metric."""
        names = ('protocol', 'setting', 'metric')
        new = {tuple(r[n] for n in names) for r in rows}
        self.rows = [r for r in self.rows if tuple(r[n] for n in names) not in new] + list(rows)
        if is_main_process():
            write_atomically(dump(self.rows), self.path)


def result_row(
    protocol: str, setting: str, value: float, seconds: float, metric: str = 'top1'
) -> Dict:
    """A row of results; ``value``, a fraction, is stored in %."""
    return dict(
        protocol=protocol,
        setting=setting,
        metric=metric,
        value=round(100 * value, 3),
        seconds=round(seconds, 1),
    )


def dump(rows: Sequence[Dict]) -> bytes:
    """Rows as JSON."""
    return json.dumps(list(rows), indent=1).encode() + b'\n'
