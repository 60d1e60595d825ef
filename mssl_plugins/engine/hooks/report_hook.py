"""Measures the baselines of k-NN, notes what trained, and writes the report of a run.

Ours; no paper prescribes it.
"""

import json
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Optional

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook

from mssl_plugins import __version__
from mssl_plugins.engine.hooks.knn_hook import KNNHook
from mssl_plugins.evaluation.backbone import Pixels
from mssl_plugins.evaluation.features import extract_features
from mssl_plugins.evaluation.knn import knn_accuracy
from mssl_plugins.files import write_atomically
from mssl_plugins.models.unwrap import whole
from mssl_plugins.registry import HOOKS
from mssl_plugins.report.page import NAME, write_report
from mssl_plugins.report.run import FACTS

DISTRIBUTIONS = ('onedl-mmengine', 'mmengine', 'onedl-mmpretrain', 'mmpretrain', 'timm')


@HOOKS.register_module()
class ReportHook(Hook):
    """Leaves ``report.json`` and ``report.html`` in the work dir.

    If the run measures k-NN, the same is measured on raw pixels and on the
    initial weights before the first step, unless the data set is large. An
    error here becomes a warning: a run never fails because of its report.

    Args:
        most (int): Largest number of images, bank and queries together, for
            which the baselines are measured. Defaults to 70,000 (ours),
            enough for CIFAR.
    """

    priority = 'LOWEST'  # after the hooks that measure

    def __init__(self, most: int = 70_000) -> None:
        self.most = most
        self.facts: dict = {}

    def before_train(self, runner) -> None:
        """Notes what trains; measures the baselines of a fresh run."""
        self.began = time.time()
        file = Path(runner.work_dir) / FACTS
        if runner.iter:
            try:
                self.facts = json.loads(file.read_text())
            except (OSError, ValueError):
                self.facts = dict(why_no_baseline='the initial weights of a resumed run are gone')
        else:
            self._try(runner, self._baselines)
        self._try(runner, self._note)
        self._try(runner, self._keep)  # for a run that is resumed

    def after_train(self, runner) -> None:
        """Writes both files."""
        self.facts['seconds'] = self.facts.get('seconds', 0) + time.time() - self.began
        self._try(runner, self._write)

    def _try(self, runner, action) -> None:
        try:
            action(runner)
        except Exception as error:  # whatever it is, the run goes on
            runner.logger.warning(f'no report: {type(error).__name__}: {error}')

    def _baselines(self, runner) -> None:
        hook: Optional[KNNHook] = next((h for h in runner.hooks if isinstance(h, KNNHook)), None)
        if hook is None:
            self.facts['why_no_baseline'] = 'k-NN is not measured in this run'
            return
        classes = (getattr(hook.bank.dataset, 'metainfo', None) or {}).get('classes')
        self.facts['classes'] = [str(name) for name in classes or ()]
        count = len(hook.bank.dataset) + len(hook.test.dataset)
        if count > self.most:
            self.facts['why_no_baseline'] = (
                f'{count} images, more than the {self.most} up to which they are measured'
            )
            return
        found, k = {}, min(hook.ks)
        given = dict(pool=hook.pool, branch=hook.branch)
        for name, model, options in (
            ('raw_pixels', Pixels.of_config(runner.cfg), {}),
            ('initial_weights', runner.model, given),
        ):
            with whole(runner.model):
                bank, test = (
                    extract_features(model, part, **options) for part in (hook.bank, hook.test)
                )
            top1 = knn_accuracy(*test, *bank, ks=[k], temperature=hook.temperature)
            found[name] = round(float(top1[k]), 6)
        self.facts['queries'] = dict(images=len(test[0]), classes=len(test[1].unique()))
        self.facts['baselines'] = found
        text = ', '.join(f'{name.replace("_", " ")} {value:.4f}' for name, value in found.items())
        runner.logger.info(f'k-NN baselines (k = {k}): {text}')

    def _note(self, runner) -> None:
        versions = dict(
            mssl_plugins=__version__,
            python=platform.python_version(),
            torch=torch.__version__,
        )
        for name in DISTRIBUTIONS:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
        cuda = torch.cuda.is_available()
        device = torch.cuda.get_device_name() if cuda else platform.machine() + ' processor'
        processes = get_world_size()
        self.facts.update(
            versions=versions,
            device=device + (f', {processes} processes' if processes > 1 else ''),
            images=len(runner.train_dataloader.dataset),
        )

    def _keep(self, runner) -> None:
        if is_main_process():
            facts = json.dumps(self.facts, indent=1).encode()
            write_atomically(facts, Path(runner.work_dir) / FACTS)

    def _write(self, runner) -> None:
        if not is_main_process():
            return
        folder = Path(runner.work_dir)
        self._keep(runner)
        write_report([folder], folder / NAME)
        print(f'report: {folder / NAME}', flush=True)
