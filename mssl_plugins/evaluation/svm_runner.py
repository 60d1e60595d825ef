"""Runs the linear SVMs on one backbone and one set of images with several labels each."""

import json
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
from mmengine.dist import barrier, is_main_process

from mssl_plugins.distributed import rank_slice
from mssl_plugins.errors import unknown
from mssl_plugins.evaluation import svm
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.store import FeatureStore, Results, result_row
from mssl_plugins.evaluation.voc_data import VocData
from mssl_plugins.files import ProgressBar, write_atomically
from mssl_plugins.models.readout import is_resnet, kinds_of

FULL, FEW = 'voc07-svm', 'voc07-low-shot'
OF_RESNET = ('avg', 'conv4', 'conv5')  # other maps of a ResNet only if they are named


class SvmEvaluation:
    """Linear SVMs on the features of one backbone and one data set.

    Args:
        backbone (FrozenBackbone): What is measured.
        data (VocData): The images that it is measured on.
        work_dir (Path): Where features, each class's scores and results are kept.
        options (EvaluationOptions, optional): Defaults to None: the protocols'
            own settings.

    Raises:
        ValueError: For layers that the backbone lacks.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        data: VocData,
        work_dir: Path,
        options: Optional[EvaluationOptions] = None,
    ) -> None:
        self.data, self.work_dir = data, Path(work_dir)
        self.options = o = options or EvaluationOptions()
        network = backbone.model.backbone
        there = kinds_of(network)
        for layer in o.layers or ():
            if layer not in there:
                raise unknown(layer, there, 'layer of this backbone')
        self.kinds = list(o.layers or (OF_RESNET if is_resnet(network) else there))
        self.shots = svm.fitting_shots(data.labels['train'])
        self.results = Results(self.work_dir / 'results.json')
        self.store = FeatureStore.from_options(self.work_dir / 'features', backbone.model, o)

    def _settings(self, name: str, kind: str) -> List[str]:
        costs = len(svm.COSTS)
        on = ' to '.join(self.data.splits.values())
        if name == FULL:
            return [f'{kind}, {on}, the best of {costs} costs by {svm.FOLDS}-fold cross-validation']
        return [
            f'{kind}, {on}, k={k}, mean of {svm.SAMPLES} draws, the best of {costs} costs on the '
            'test set'
            for k in self.shots
        ]

    def settings(self, name: str) -> List[str]:
        """The settings that a protocol's rows will have, before it runs."""
        return [s for kind in self.kinds for s in self._settings(name, kind)]

    def run(self, names: Sequence[str]) -> List[dict]:
        """Measures what has no result yet; returns the rows of all named protocols.

        Args:
            names (Sequence[str]): 'voc07-svm', 'voc07-low-shot', or both.

        Returns:
            list[dict]: ``protocol, setting, metric, value`` (%), ``seconds``.

        Raises:
            ValueError: If there are too few images for one shot.
        """
        if FEW in names and not self.shots:
            raise ValueError(
                f'{FEW}: {self.data.num_classes} classes need an image of each and '
                f'{self.data.num_classes - 1} without it'
            )
        todo = [
            (n, k)
            for n in names
            for k in self.kinds
            if not self.results.has(n, self._settings(n, k))
        ]
        for split in ('train', 'test') if todo else ():
            kinds = list(dict.fromkeys(kind for _, kind in todo))
            self.store.add(split, self.data.images(split), kinds)
        for name, kind in todo:
            found = self._measure(name, kind)
            seconds = sum(f['seconds'] for f in found)
            rows = self._full_rows if name == FULL else self._few_rows
            self.results.add(rows(self._settings(name, kind), found, seconds))
        return self.results.of({n: self.settings(n) for n in names})

    def _measure(self, name: str, kind: str) -> List[dict]:
        """The scores of every class; the processes share those that are not kept yet."""
        folder = self.work_dir / f'{name}-{kind}'
        files = [folder / f'{c:03}.json' for c in range(self.data.num_classes)]
        todo = [c for c, file in enumerate(files) if not file.is_file()]
        barrier()  # every process must list the missing files before one is written
        mine = [todo[i] for i in rank_slice(len(todo))]
        if mine:
            train, test = (svm.unit_rows(self.store.get(s, kind)) for s in ('train', 'test'))
        bar = ProgressBar(f'{name}, {kind}', len(mine), is_main_process())
        for number in mine:
            began = time.time()
            labels, truth = (self.data.labels[s][:, number] for s in ('train', 'test'))
            seed = [self.options.seed, number]
            if name == FULL:
                one = svm.measure_class(train, labels, test, truth, seed[0])._asdict()
            else:
                sizes = self.shots, self.data.num_classes
                area = svm.measure_shots(train, labels, test, truth, *sizes, seed)
                one = dict(area=area.tolist())
            one['seconds'] = time.time() - began
            write_atomically(json.dumps(one).encode(), files[number])
            bar.update()
        bar.close()
        barrier()
        return [json.loads(file.read_text()) for file in files]

    @staticmethod
    def _full_rows(settings: List[str], found: List[Dict], seconds: float) -> List[dict]:
        return [
            result_row(FULL, settings[0], float(np.mean([f[key] for f in found])), seconds, metric)
            for metric, key in (('mAP', 'area'), ('mAP at 11 recalls', 'eleven'))
        ]

    @staticmethod
    def _few_rows(settings: List[str], found: List[Dict], seconds: float) -> List[dict]:
        area = np.mean([f['area'] for f in found], 0)  # (samples, shots, costs)
        rows = []
        for i, setting in enumerate(settings):
            best = area[:, i, area[:, i].mean(0).argmax()]
            rows.append(result_row(FEW, setting, float(best.mean()), seconds, 'mAP'))
            rows.append(result_row(FEW, setting, float(best.std()), seconds, 'std of mAP'))
        return rows
