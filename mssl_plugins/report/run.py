"""Reads the folder of a run, without running anything in it."""

import json
import re
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple, Union

from mssl_plugins.checkpoints.architecture import parts_in
from mssl_plugins.files import Curve, as_curves, finite, placed, read_scalars
from mssl_plugins.work_dir import last_checkpoint

#: what :class:`mssl_plugins.engine.hooks.report_hook.ReportHook` leaves
FACTS = 'report.json'
CONFIG_PARTS = (
    'catalogue',
    'model',
    'train_dataloader',
    'optim_wrapper',
    'train_cfg',
    'randomness',
    'load_from',
)


class NoRun(ValueError):
    """A folder that holds no run."""


class Run(NamedTuple):
    """A run, as far as its folder describes it.

    Attributes:
        name (str): The folder's name.
        folder (Path): Its absolute path.
        curves (Dict[str, Curve]): (iteration, value) of each logged number;
            if a resumed run overlaps, its later values count.
        epochs (int): Epochs trained; 0 if only iterations are counted.
        iterations (int): Iterations trained.
        config (dict): The parts of :data:`CONFIG_PARTS` that are literals.
        config_text (str): The config as it was run; '' if it is missing.
        versions (Dict[str, str]): Versions of the libraries that trained.
        baselines (Dict[str, float]): k-NN accuracy, in 0-1, of 'raw_pixels'
            and 'initial_weights', if measured.
        why_no_baseline (str): Why they were not measured.
        monitor (List[dict]): Label-free measures; the first entry is of the
            initial weights if its ``epoch`` is 0.
        held_out (int): Number of images that these were measured on.
        not_measured (Dict[str, str]): What was not measured or drawn, and why.
        images (int, optional): Number of training images.
        classes (List[str]): Names of the classes, if there are labels.
        checkpoint (Path, optional): The last one.
        seconds (float, optional): Duration of the training.
        device (str): The device that trained.
    """

    name: str
    folder: Path
    curves: Dict[str, Curve]
    epochs: int
    iterations: int
    config: dict
    config_text: str
    versions: Dict[str, str]
    baselines: Dict[str, float]
    why_no_baseline: str
    monitor: List[dict]
    held_out: int
    not_measured: Dict[str, str]
    images: Optional[int]
    classes: List[str]
    checkpoint: Optional[Path]
    seconds: Optional[float]
    device: str

    def last(self, key: str) -> Optional[float]:
        """The last value of a logged number; None if there is none."""
        points = self.curves.get(key)
        return points[-1][1] if points else None

    @property
    def knn(self) -> Optional[str]:
        """The name of the logged k-NN accuracy with the smallest k."""
        names = [name for name in self.curves if name.startswith('knn/top1')]
        return min(names, key=lambda name: (len(name), name)) if names else None

    @property
    def speed(self) -> Optional[float]:
        """Images per second and process: the median over the log; None if not logged."""
        times = sorted(value for _, value in self.curves.get('time', ()) if value > 0)
        batch = (self.config.get('train_dataloader') or {}).get('batch_size')
        return batch / times[len(times) // 2] if times and isinstance(batch, int) else None


def read_run(folder: Union[str, Path]) -> Run:
    """Reads the folder of a run.

    Args:
        folder (str | Path): Its work dir.

    Returns:
        Run: The run; damaged files are skipped.

    Raises:
        NoRun: If there is no such folder, or nothing was logged in it; the
            message says what it holds instead.
    """
    folder = Path(folder).expanduser().absolute()
    if not folder.is_dir():
        raise NoRun(f'no such folder: {folder}')
    curves, epochs, iterations = _curves(read_scalars(folder))
    if not curves:
        raise NoRun(f'{folder} holds no run: no */vis_data/scalars.json with a logged number in it')
    text = _config_text(folder)
    facts, monitor = _json(folder / FACTS), _json(folder / 'monitor.json')
    baselines = facts.get('baselines') or {}
    last = last_checkpoint(folder)
    return Run(
        name=folder.name,
        folder=folder,
        curves=curves,
        epochs=epochs,
        iterations=iterations,
        config=parts_in(text, CONFIG_PARTS),
        config_text=text,
        versions=facts.get('versions') or _versions(folder),
        baselines={k: float(v) for k, v in baselines.items() if finite(v)},
        why_no_baseline=str(facts.get('why_no_baseline', 'this run did not measure them')),
        monitor=[m for m in monitor.get('measured', ()) if isinstance(m, dict)],
        held_out=monitor.get('images', 0),
        not_measured={k: str(v) for k, v in _part(monitor, 'not_measured').items()},
        images=facts.get('images'),
        classes=[str(name) for name in facts.get('classes') or ()],
        checkpoint=Path(last) if last else None,
        seconds=facts.get('seconds'),
        device=str(facts.get('device', '')),
    )


def _curves(rows: List[dict]) -> Tuple[Dict[str, Curve], int, int]:
    """(iteration, value) of each logged number, and the numbers of epochs and iterations."""
    seen = placed(rows)
    iterations = max((step for step, _ in seen), default=0)
    epochs = [row['epoch'] for _, row in seen if isinstance(row.get('epoch'), int)]
    return as_curves(rows), max(epochs, default=0), iterations


def _json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _part(found: dict, name: str) -> dict:
    part = found.get(name)
    return part if isinstance(part, dict) else {}


def _config_text(folder: Path) -> str:
    """The newest config that was run."""
    for path in [*sorted(folder.glob('*/vis_data/config.py'), reverse=True), folder / 'config.py']:
        if path.is_file():
            return path.read_text(encoding='utf-8', errors='replace')
    return ''


def _versions(folder: Path) -> Dict[str, str]:
    """Versions, from the environment that MMEngine logs."""
    for log in sorted(folder.glob('*/*.log'), reverse=True):
        with open(log, encoding='utf-8', errors='replace') as f:
            head = f.read(20000)
        found = re.findall(r'^ {4}(Python|PyTorch|TorchVision|MMEngine): (\S+)', head, re.M)
        if found:
            return {name.lower(): version for name, version in found}
    return {}
