"""Results of runs as they are kept: one small file a run.

``docs/evidence/runs/<study>-<size>/<run>.json`` holds settings, curves and,
for each figure, what every test image contributed: bits (right or wrong), or
counts for mIoU.  Files are written once and whole, so that two workers never
meet in one.
"""

import base64
import json
import zlib
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from mssl_plugins.files import write_atomically


def pack(values: np.ndarray) -> dict:
    """An array as JSON: a boolean one as bits, whole numbers as int32, others as float32."""
    values = np.asarray(values)
    if values.dtype == bool:
        kind, data = 'bits', np.packbits(values)
    elif values.dtype.kind in 'iu':
        kind, data = 'int32', values.astype('<i4')
    else:
        kind, data = 'float32', values.astype('<f4')
    text = base64.b64encode(zlib.compress(data.tobytes(), 9)).decode()
    return dict(kind=kind, shape=list(values.shape), data=text)


def unpack(kept: dict) -> np.ndarray:
    """The array of :func:`pack`."""
    data = zlib.decompress(base64.b64decode(kept['data']))
    if kept['kind'] == 'bits':
        count = int(np.prod(kept['shape']))
        return (
            np.unpackbits(np.frombuffer(data, np.uint8), count=count)
            .astype(bool)
            .reshape(kept['shape'])
        )
    kinds = dict(int32='<i4', float32='<f4')
    return np.frombuffer(data, kinds[kept['kind']]).reshape(kept['shape'])


class Task(NamedTuple):
    """A run.

    Attributes:
        kind (str): 'pixels', 'random', 'sweep' or 'final'.
        variant, length (str): Names in the study.
        seed (int): Seed of the run.
        rate (float): Learning rate; 0 where nothing is trained.
    """

    kind: str
    variant: str
    length: str
    seed: int
    rate: float

    @property
    def name(self) -> str:
        """Its folder and file."""
        if self.kind == 'pixels':
            return 'pixels'
        if self.kind == 'random':
            return f'random_{self.variant}_s{self.seed}'
        return f'{self.variant}_{self.length}_lr{self.rate:g}_s{self.seed}'


def random_title(variant: str) -> str:
    """What the page calls random weights: those that the runs of a variant start from."""
    return f'random weights, network of {variant}'


class Kept:
    """The kept results of one study at one size.

    Args:
        folder (Path): ``.../<study>-<size>``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.records: List[dict] = [
            json.loads(p.read_text()) for p in sorted(self.folder.glob('*.json'))
        ]

    def add(self, task: Task, record: dict) -> None:
        """Keeps a run's result, in place of an earlier one from another machine."""
        record = dict(task._asdict(), **record)
        text = json.dumps(record, sort_keys=True, separators=(',', ':')) + '\n'
        write_atomically(text.encode(), self.folder / f'{task.name}.json')
        same = self.find(**task._asdict())
        self.records = [r for r in self.records if r not in same] + [record]

    def find(self, **wanted) -> List[dict]:
        """Records with these values, by seed."""
        return sorted(
            (r for r in self.records if all(r[k] == v for k, v in wanted.items())),
            key=lambda r: r['seed'],
        )

    def has(self, task: Task) -> bool:
        """Whether a run's result is there."""
        return bool(self.find(**task._asdict()))


def figure(record: dict, name: str) -> Optional[float]:
    """A figure of a run in %, or None where it was not measured."""
    found = record['figures'].get(name)
    return None if found is None else found['value']


def contributions(record: dict, name: str) -> np.ndarray:
    """What each test image contributed to a figure."""
    return unpack(record['figures'][name])


def kept_figures(values: Dict[str, np.ndarray], percent) -> Dict[str, dict]:
    """Arrays by figure as they are kept, with their value in % beside."""
    return {
        name: dict(pack(array), value=round(float(percent(array)), 4))
        for name, array in values.items()
    }
