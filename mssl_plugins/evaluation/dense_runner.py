"""Runs the dense protocols on one backbone and one set of label maps."""

import time
from pathlib import Path
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.dist import all_reduce, broadcast, is_main_process
from torch import Tensor

from mssl_plugins.evaluation import dense_linear, dense_protocols
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.dense_data import DenseData
from mssl_plugins.evaluation.dense_features import DenseFeatures, extract, grids
from mssl_plugins.evaluation.logistic import logistic_regression
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.probes import LinearProbes
from mssl_plugins.evaluation.segmentation import confusion, mean_iou, predict_map
from mssl_plugins.evaluation.store import FeatureStore, Results, result_row
from mssl_plugins.files import ProgressBar

PART = 64  # images in a file, fewer than elsewhere: each has many vectors
Scorer = Callable[[Tensor], Iterable[Dict[int, Tensor]]]  # (n, P, D) -> k -> (P, C) of each


def _by_main(
    length: Tuple[str, int], fit: Callable, shape: Tuple[int, int, torch.device]
) -> Scorer:
    """Fits in the main process and sends the classifier to the others.

    Args:
        length (tuple): Title and steps of the progress bar.
        fit (Callable): Gets the bar's setter, returns :class:`LinearProbes`.
        shape (tuple): Dimensions, classes, device of the features.
    """
    d, classes, device = shape
    bar = ProgressBar(*length, is_main_process())
    if is_main_process():
        probe = fit(bar.to)
    else:
        sizes = (d, 1, classes), (1, classes), (d,), (d,)
        probe = LinearProbes(*(torch.empty(s, device=device) for s in sizes))
    bar.close()
    for value in (probe.weight, probe.bias, probe.mean, probe.scale):
        broadcast(value)
    return lambda part: ({0: probe.scores(image)[:, 0]} for image in part)


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
        images = len(data.files['train'])
        self._batch, self._iterations, _ = dense_linear.length(images, o.epochs)
        self.results = Results(Path(work_dir) / 'results.json')
        self.store = FeatureStore.from_options(
            Path(work_dir) / 'features', backbone.model, o, part=PART
        )

    def _setting(self, name: str, kind: str, k: int = 0) -> str:
        grid = self.grids[kind]
        there = len(self.data.files['train']) * grid[0] * grid[1]
        memory = f'memory {min(there, self.options.memory)}'
        how = {
            'patch-knn': f'k={k}, T={self._knn_temperature}, {memory}',
            'patch-logistic': f'C=1, {memory}',
            'hummingbird': f'k={k}, T={dense_protocols.TEMPERATURE}, {memory}',
            'linear-segmentation': f'{self._iterations} iterations of {self._batch} images',
        }[name]
        return f'{kind}, {how}, {self.data.resolution}'

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
            names (Sequence[str]): Names of protocols of the kind 'dense'.

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
        return self.results.of({n: self.settings(n) for n in names})

    def _scores(self, name: str, kind: str) -> Iterator[Tuple[int, Dict[int, Tensor]]]:
        """Yields the index and k -> (P, C) of each of this process's test images."""
        features = DenseFeatures(self.store, self.data, kind, self.grids[kind])
        if name == 'linear-segmentation':
            score = self._trained(kind)
        else:
            keys, values = dense_protocols.bank_of(
                features, self.options.memory, self.options.seed, name == 'hummingbird'
            )
            keys, values = keys.to(self.options.device), values.to(self.options.device)
            if name == 'patch-logistic':
                score = self._fitted(keys, values)
            else:
                score = self._retrieval(name, keys, values)
        for numbers, part in features.test():
            yield from zip(numbers, score(part.to(self.options.device)))

    def _retrieval(self, name: str, keys: Tensor, values: Tensor) -> Scorer:
        temperature = (
            dense_protocols.TEMPERATURE if name == 'hummingbird' else self._knn_temperature
        )
        return lambda part: dense_protocols.retrieve(
            part, keys, values, self._ks(name), temperature
        )

    def _fitted(self, keys: Tensor, values: Tensor) -> Scorer:
        """Logistic regression on the memory."""
        classes = values.size(1)
        return _by_main(
            ('patch-logistic, at most', 500),
            lambda say: logistic_regression(keys, values, classes, progress=say),
            (keys.size(1), classes, keys.device),
        )

    def _trained(self, kind: str) -> Scorer:
        """A linear head that is trained on the pixels of all images."""
        images = dense_linear.Images(self.store.mapped('train', kind), self.grids[kind])
        classes, o = self.data.num_classes, self.options
        return _by_main(
            ('linear-segmentation', self._iterations),
            lambda say: dense_linear.train_head(
                images, lambda i: self.data.mask('train', i), classes, o.epochs, o.seed, say
            ),
            (images[0].size(1), classes, torch.device('cpu')),
        )

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
