"""Runs the dense protocols on one backbone and one set of label maps."""

import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.dist import all_reduce, broadcast, is_main_process
from torch import Tensor

from mssl_plugins.evaluation import dense_protocols
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.dense_data import DenseData
from mssl_plugins.evaluation.dense_features import DenseFeatures, extract, grids
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.probes import LinearProbes, logistic_regression
from mssl_plugins.evaluation.segmentation import confusion, mean_iou, predict_map
from mssl_plugins.evaluation.store import FeatureStore, Results, result_row
from mssl_plugins.files import ProgressBar

PART = 64  # images a file: a patch more than a vector


class DenseEvaluation:
    """Dense protocols on one backbone and one data set.

    Args:
        backbone (FrozenBackbone): What is measured.
        data (DenseData): The images that it is measured on.
        work_dir (Path): Where features and results are kept.
        options (EvaluationOptions, optional): ``ks`` and ``temperature`` are
            those of ``patch-knn``. Defaults to None: the protocols' own.

    Raises:
        ValueError: For a backbone without a map.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        data: DenseData,
        work_dir: Path,
        options: Optional[EvaluationOptions] = None,
    ) -> None:
        self.data, self.options = data, options or EvaluationOptions()
        self.grids = grids(backbone.model.backbone, data.shape)
        o = self.options
        self.results = Results(Path(work_dir) / 'results.json')
        self.store = FeatureStore(
            Path(work_dir) / 'features',
            backbone.model,
            batch_size=o.batch_size,
            num_workers=o.num_workers,
            part=PART,
            device=o.device,
            dtype=o.dtype,
        )

    def _setting(self, name: str, kind: str, k: int = 0) -> str:
        grid = self.grids[kind]
        there = len(self.data.files['train']) * grid[0] * grid[1]
        how = dict(
            {'patch-knn': f'k={k}, T={self._knn_temperature}', 'patch-logistic': 'C=1'},
            hummingbird=f'k={k}, T={dense_protocols.TEMPERATURE}',
        )[name]
        return f'{kind}, {how}, memory {min(there, self.options.memory)}, {self.data.resolution}'

    @property
    def _knn_temperature(self) -> float:
        return self.options.temperature or dense_protocols.KNN_TEMPERATURE

    def _ks(self, name: str) -> List[int]:
        return dict(
            {'patch-knn': list(self.options.ks or dense_protocols.KS)},
            hummingbird=[dense_protocols.NEIGHBORS],
        ).get(name, [0])

    def settings(self, name: str) -> List[str]:
        """The settings that a protocol's rows will have, before it runs."""
        return [self._setting(name, kind, k) for kind in self.grids for k in self._ks(name)]

    def run(self, names: Sequence[str]) -> List[dict]:
        """Runs the protocols that have no result yet; returns the rows of all named ones.

        Args:
            names (Sequence[str]): 'patch-knn', 'patch-logistic', 'hummingbird'.

        Returns:
            list[dict]: ``protocol, setting, metric, value`` (mIoU in %),
            ``seconds``.
        """
        todo = [
            (n, k)
            for n in names
            for k in self.grids
            if not self.results.has(n, [self._setting(n, k, number) for number in self._ks(n)])
        ]
        if todo:
            extract(self.store, self.data, list(dict.fromkeys(kind for _, kind in todo)))
        for name, kind in todo:
            began = time.time()
            values = self._score(name, kind)
            self.results.add(
                [
                    result_row(
                        name, self._setting(name, kind, k), value, time.time() - began, 'mIoU'
                    )
                    for k, value in values.items()
                ]
            )
        return [
            r
            for n in names
            for s in self.settings(n)
            for r in self.results.rows
            if (r['protocol'], r['setting']) == (n, s)
        ]

    def _scores(self, name: str, kind: str) -> Iterator[Tuple[int, Dict[int, Tensor]]]:
        """Yields the index and k -> (P, C) of each of this process's test images."""
        features = DenseFeatures(self.store, self.data, kind, self.grids[kind])
        keys, values = dense_protocols.bank_of(
            features, self.options.memory, self.options.seed, name == 'hummingbird'
        )
        keys, values = keys.to(self.options.device), values.to(self.options.device)
        probe = self._fit(keys, values) if name == 'patch-logistic' else None
        temperature = (
            dense_protocols.TEMPERATURE if name == 'hummingbird' else self._knn_temperature
        )
        for numbers, part in features.test():
            part = part.to(self.options.device)
            found = (
                ({0: probe.scores(image)[:, 0]} for image in part)
                if probe
                else (dense_protocols.retrieve(part, keys, values, self._ks(name), temperature))
            )
            yield from zip(numbers, found)

    def _fit(self, keys: Tensor, values: Tensor) -> LinearProbes:
        """Fits the logistic regression in the main process and sends it to the others."""
        classes = values.size(1)
        bar = ProgressBar('patch-logistic, at most', 500, is_main_process())
        if is_main_process():
            probe = logistic_regression(keys, values, classes, progress=bar.to)
        else:
            d = keys.size(1)
            probe = LinearProbes(
                torch.empty(d, 1, classes), torch.empty(1, classes), torch.empty(d), torch.empty(d)
            )
        bar.close()
        for value in (probe.weight, probe.bias, probe.mean, probe.scale):
            broadcast(value)
        return probe

    def _score(self, name: str, kind: str) -> Dict[int, float]:
        """The mIoU of each k over all processes' images."""
        classes = self.data.num_classes
        counts = {k: torch.zeros(classes, classes, dtype=torch.long) for k in self._ks(name)}
        bar = ProgressBar(f'{name}, {kind}', len(self.data.files['test']), is_main_process())
        for number, found in self._scores(name, kind):
            truth = torch.from_numpy(self.data.mask('test', number))
            for k, patches in found.items():
                grid = patches.unflatten(0, self.grids[kind])
                counts[k] += confusion(predict_map(grid, *truth.shape).cpu(), truth, classes)
            bar.to(number + 1)
        bar.close()
        for total in counts.values():
            all_reduce(total)
        return {k: mean_iou(total) for k, total in counts.items()}
