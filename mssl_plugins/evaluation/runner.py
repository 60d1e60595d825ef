"""Runs protocols on one backbone and one data set; what was measured is kept."""

import time
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process

from mssl_plugins.config import read_config
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData
from mssl_plugins.evaluation.finetune import FineTuning
from mssl_plugins.evaluation.knn import knn_accuracy
from mssl_plugins.evaluation.logistic import logistic_regression
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.probes import Recipe, recipe_of, train_probes
from mssl_plugins.evaluation.protocols import PROTOCOLS
from mssl_plugins.evaluation.store import FeatureStore, Results, result_row
from mssl_plugins.files import ProgressBar
from mssl_plugins.models.readout import kinds_of


class Evaluation:
    """Protocols on one backbone and one data set.

    Args:
        backbone (FrozenBackbone): What is measured.
        data (EvaluationData): The images that it is measured on.
        work_dir (Path): Where features, runs and results are kept.
        options (EvaluationOptions, optional): Defaults to None: the protocols'
            own settings.
    """

    def __init__(
        self,
        backbone: FrozenBackbone,
        data: EvaluationData,
        work_dir: Path,
        options: Optional[EvaluationOptions] = None,
    ) -> None:
        self.backbone, self.data, self.work_dir = backbone, data, Path(work_dir)
        self.options = o = options or EvaluationOptions()
        self.results = Results(self.work_dir / 'results.json')
        self.store = FeatureStore.from_options(self.work_dir / 'features', backbone.model, o)
        self.kinds = kinds_of(backbone.model.backbone)
        self._configs = {}

    # -- what a protocol needs
    def _config(self, name: str) -> Config:
        if name not in self._configs:
            self._configs[name] = read_config(PROTOCOLS[name].configs[self.backbone.family])
        return self._configs[name]

    def _kinds(self, name: str) -> List[str]:
        """The kinds of features that a protocol on frozen features reads."""
        kind = PROTOCOLS[name].kind
        if kind in ('knn', 'logistic'):
            return self.kinds[:1]
        wanted = self._config(name).model.features
        if kind == 'layers':
            return list(wanted)
        if wanted == 'auto':
            return self.kinds[:1]
        if wanted.startswith('blocks'):
            # a shallow network's all blocks; without class token the average
            return [k for k in self.kinds if k.startswith('blocks')] or ['avg']
        return [wanted]

    def _ks(self) -> List[int]:
        bank, given = len(self.data.labels['train']), self.options.ks
        if given is not None:
            if max(given) > bank:
                raise ValueError(
                    f'k = {max(given)} is larger than the bank of {bank} training images'
                )
            return list(given)
        ks = self._config('knn').ks
        fitting = [k for k in ks if k <= bank]
        if not fitting:
            raise ValueError(
                f'k = {min(ks)} is larger than the bank of {bank} training images: give --k'
            )
        return fitting

    def _temperature(self, name: str) -> float:
        return self.options.temperature or self._config(name).temperature

    def _probe(self, name: str) -> Tuple[Recipe, List[float], str]:
        cfg = self._config(name)
        recipe = recipe_of(cfg)
        if self.options.epochs:
            recipe = recipe.with_epochs(self.options.epochs)
        rates = list(self.options.rates or [recipe.lr * f for f in cfg.get('lr_sweep', [1])])
        batch = recipe.batch_for(len(self.data.labels['train']))
        views = f'{self.options.views} views' if self.options.views else 'center view'
        return recipe, rates, f'{recipe.epochs} epochs, batch {batch}, {views}'

    def finetuning(self, name: str) -> FineTuning:
        """A fine-tuning protocol on this backbone and data."""
        return FineTuning(name, self.backbone, self.data, self.work_dir, self.options)

    def settings(self, name: str) -> List[str]:
        """The settings that a protocol's rows will have, before it runs."""
        kind = PROTOCOLS[name].kind
        if kind == 'knn':
            return [f'k={k}, T={self._temperature(name)}' for k in self._ks()]
        if kind == 'logistic':
            return [f'{self.kinds[0]}, C=1']
        if kind == 'finetune':
            return [self.finetuning(name).setting]
        _, rates, about = self._probe(name)
        if kind == 'layers':
            return [
                f'{layer}, lr={rate:g}, {about}' for rate in rates for layer in self._kinds(name)
            ]
        read = self._kinds(name)[0]
        settings = [f'{read}, lr={rate:g}, {about}' for rate in rates]
        if len(rates) > 1:
            named = ', '.join(f'{rate:g}' for rate in self.options.rates or ())
            which = f'the rates {named}' if named else f'{len(rates)} rates'
            settings.append(f'best of {which} on the test set, {read}, {about}')
        return settings

    # -- running
    def run(self, names: Sequence[str]) -> List[dict]:
        """Runs the protocols that have no result yet; returns the rows of all named ones.

        Args:
            names (Sequence[str]): Keys of ``PROTOCOLS``.

        Returns:
            list[dict]: ``protocol, setting, metric, value`` (%), ``seconds``.

        Raises:
            ValueError: If k is larger than the training set, or a fine-tuning protocol
                is run under torchrun.
        """
        settings = {n: self.settings(n) for n in names}  # mistakes come first
        if get_world_size() > 1 and any(PROTOCOLS[n].kind == 'finetune' for n in names):
            raise ValueError(
                'fine-tuning starts its own processes: leave torchrun away and give --processes'
            )
        todo = [n for n in names if not self.results.has(n, settings[n])]
        for name in names:
            if name not in todo and is_main_process():
                print(f'{name}: measured before')
        self._extract([n for n in todo if PROTOCOLS[n].kind != 'finetune'])
        run = dict(
            knn=self._run_knn,
            logistic=self._run_logistic,
            probe=self._run_probe,
            layers=self._run_layers,
            finetune=self._run_finetune,
        )
        for name in sorted(todo, key=lambda n: PROTOCOLS[n].kind != 'knn'):
            kind = PROTOCOLS[name].kind
            if kind == 'knn' or is_main_process():  # the processes share the k-NN search
                self.results.add(run[kind](name))
        return self.results.of({n: settings[n] for n in names})

    def _extract(self, names: Sequence[str]) -> None:
        kinds = list(dict.fromkeys(k for n in names for k in self._kinds(n)))
        probed = list(
            dict.fromkeys(
                k for n in names if PROTOCOLS[n].kind in ('probe', 'layers') for k in self._kinds(n)
            )
        )
        if not kinds:
            return
        began = time.time()
        for split in ('train', 'test'):
            self.store.add(split, self.data.center(split), kinds)
        for view in range(self.options.views):
            self.store.add(f'train.v{view}', self.data.augmented(), probed, view)
        seconds = time.time() - began
        if is_main_process() and seconds > 1:
            print(f'features of {sum(map(len, self.data.labels.values()))} images: {seconds:.1f} s')

    def _pairs(self, kind: str):
        return self.store.pair('train', kind), self.store.pair('test', kind)

    def _run_knn(self, name: str) -> List[dict]:
        ks, t = self._ks(), self._temperature(name)
        (bank, bank_labels), (test, test_labels) = self._pairs(self.kinds[0])
        began = time.time()
        top1 = knn_accuracy(test, test_labels, bank, bank_labels, ks=ks, temperature=t)
        seconds = time.time() - began
        return [result_row(name, f'k={k}, T={t}', top1[k], seconds) for k in ks]

    def _run_logistic(self, name: str) -> List[dict]:
        kind = self.kinds[0]
        (bank, labels), test = self._pairs(kind)
        began = time.time()
        bar = ProgressBar('logistic, at most', 500, is_main_process())
        probe = logistic_regression(bank, labels, self.data.num_classes, progress=bar.to)
        bar.close()
        value = probe.accuracy(*test)[0]
        return [result_row(name, f'{kind}, C=1', value, time.time() - began)]

    def _train_probe(
        self, name: str, kind: str, recipe: Recipe, rates: Sequence[float]
    ) -> List[float]:
        (bank, labels), test = self._pairs(kind)
        if self.options.views:
            bank = [self.store.get(f'train.v{v}', kind) for v in range(self.options.views)]
        bar = ProgressBar(f'{name}, {kind}', recipe.epochs, is_main_process())
        probes = train_probes(
            bank,
            labels,
            self.data.num_classes,
            recipe,
            rates,
            self.options.seed,
            bar.to,
            self.options.device,
        )
        return probes.accuracy(*test)

    def _run_probe(self, name: str) -> List[dict]:
        recipe, rates, about = self._probe(name)
        kind = self._kinds(name)[0]
        began = time.time()
        values = self._train_probe(name, kind, recipe, rates)
        seconds = time.time() - began
        rows = [
            result_row(name, f'{kind}, lr={rate:g}, {about}', value, seconds)
            for rate, value in zip(rates, values)
        ]
        if len(rates) > 1:
            rows.append(result_row(name, self.settings(name)[-1], max(values), seconds))
        return rows

    def _run_layers(self, name: str) -> List[dict]:
        recipe, rates, about = self._probe(name)
        rows = []
        for layer in self._kinds(name):
            settings = [f'{layer}, lr={rate:g}, {about}' for rate in rates]
            if self.results.has(name, settings):
                continue
            began = time.time()
            values = self._train_probe(name, layer, recipe, rates)
            seconds = time.time() - began
            new = [result_row(name, s, v, seconds) for s, v in zip(settings, values)]
            self.results.add(new)  # now, because a layer may take minutes
            rows += new
        return rows

    def _run_finetune(self, name: str) -> List[dict]:
        return [self.finetuning(name).run()]
