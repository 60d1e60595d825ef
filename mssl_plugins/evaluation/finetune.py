"""Fine-tuning by a shipped config, in a process of its own."""

import hashlib
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import torch
from mmengine.config import Config

from mssl_plugins.catalogue import root
from mssl_plugins.config import read_config
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.protocols import PROTOCOLS
from mssl_plugins.evaluation.store import result_row
from mssl_plugins.files import ProgressBar, read_scalars, write_atomically


class FineTuning:
    """One fine-tuning protocol on one backbone and one data set.

    Args:
        name (str): A key of ``PROTOCOLS``.
        backbone (FrozenBackbone): The backbone whose weights it starts from.
        data (EvaluationData): What it trains and is tested on.
        work_dir (Path): Folder in which its own folder is made.
        options (EvaluationOptions): Settings that differ from the protocol.

    Raises:
        FileNotFoundError: If the user's list of images is missing.
    """

    def __init__(
        self,
        name: str,
        backbone: FrozenBackbone,
        data: EvaluationData,
        work_dir: Path,
        options: EvaluationOptions,
    ) -> None:
        self.name, self.protocol = name, PROTOCOLS[name]
        self.backbone, self.data, self.work_dir = backbone, data, work_dir
        self.options, self.list = options, options.lists.get(name)
        if self.list is not None and not Path(self.list).is_file():
            raise FileNotFoundError(f'no list {self.list}')
        self.cfg = read_config(self.protocol.configs[backbone.family])
        self.planned = self.cfg.train_cfg.max_epochs
        self.epochs = options.epochs or self.planned
        self.batch = options.finetune_batch or self.cfg.auto_scale_lr.base_batch_size

    @property
    def setting(self) -> str:
        """The setting in its row of results."""
        if self.list is not None:
            stamp = hashlib.sha256(Path(self.list).read_bytes()).hexdigest()[:8]
            part = f'list {Path(self.list).name} ({stamp})'
        else:
            share = self.protocol.labels
            part = 'all labels' if share == 1 else f'{share:.0%} of the labels'
        return f'{part}, {self.epochs} epochs, batch {self.batch}'

    def config(self) -> Config:
        """The protocol's config on this backbone and data.

        Writes the weights that it names into the work dir.
        """
        cfg, options = self.cfg, self.options
        self._put_backbone(cfg)
        self._put_data(cfg)
        cfg.auto_scale_lr.enable = True
        if not torch.cuda.is_available() and options.dtype != torch.bfloat16:
            cfg.optim_wrapper.type = 'OptimWrapper'
        ratio = self.epochs / self.planned
        for schedule in cfg.param_scheduler:
            for key in ('begin', 'end', 'T_max'):
                if key in schedule:
                    schedule[key] = max(int(key != 'begin'), round(schedule[key] * ratio))
            if 'milestones' in schedule:
                schedule.milestones = [max(1, round(m * ratio)) for m in schedule.milestones]
        cfg.train_cfg.update(max_epochs=self.epochs, val_interval=self.epochs)
        cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
        cfg.randomness = dict(seed=options.seed)
        cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]  # read by run()
        return cfg

    def _put_backbone(self, cfg: Config) -> None:
        found = self.backbone
        backbone = dict(found.config, **cfg.get('network', {}))
        if found.family == 'vit' and not found.config.get('with_cls_token', True):
            backbone.update(out_type='avg_featmap', final_norm=False)
        weights = self.work_dir / 'backbone.pth'
        weights.parent.mkdir(parents=True, exist_ok=True)
        torch.save({f'backbone.{k}': v for k, v in found.weights.items()}, weights)
        backbone['init_cfg'] = dict(
            type='Pretrained', checkpoint=str(weights.absolute()), prefix='backbone.'
        )
        cfg.model.backbone = backbone
        cfg.model.head.update(
            num_classes=self.data.num_classes, in_channels=found.channels(self.data.size)
        )
        cfg.data_preprocessor.update(
            num_classes=self.data.num_classes, mean=found.mean, std=found.std
        )

    def _put_data(self, cfg: Config) -> None:
        data, workers = self.data, self.options.num_workers
        spec = data.few_labels(self.protocol.labels, self.list)
        train, val = cfg.train_dataloader, cfg.val_dataloader
        train.dataset = dict(spec, pipeline=self._pipeline(train.dataset.pipeline))
        val.dataset = dict(data.specs['test'], pipeline=self._pipeline(val.dataset.pipeline))
        train.update(batch_size=math.ceil(self.batch / self.options.processes), num_workers=workers)
        val.update(num_workers=workers)
        cfg.test_dataloader = val
        cfg.val_evaluator.topk = (1,)
        cfg.test_evaluator = cfg.val_evaluator

    def _pipeline(self, pipeline: Sequence[dict]) -> List[dict]:
        """The protocol's transforms at this size."""
        size, out = self.data.size, []
        for step in pipeline:
            step, kind = dict(step), str(step['type']).split('.')[-1]
            if kind == 'RandomResizedCrop':
                step['scale'] = size
                if self.data.whole:  # small images, as CIFAR's: pad and crop
                    step = dict(type='mmpretrain.RandomCrop', crop_size=size, padding=size // 8)
            elif kind == 'ResizeEdge':
                step['scale'] = self.data.resize
            elif kind == 'CenterCrop':
                step['crop_size'] = size
            out.append(step)
        return out

    def run(self) -> dict:
        """Trains and measures; a killed call is continued.

        Returns:
            dict: The row with the accuracy of the last epoch.

        Raises:
            ValueError: If the training ends with an error.
        """
        name, cfg = self.name, self.config()
        stamp = hashlib.sha256(self.setting.encode()).hexdigest()[:8]
        folder = self.work_dir / f'{name}-{stamp}'
        cfg.work_dir = str(folder.absolute())
        folder.mkdir(parents=True, exist_ok=True)
        cfg.dump(folder / 'finetune.py')
        spent = folder / 'seconds.txt'  # summed over resumptions
        print(f'{name}: {self.setting}; log in {folder}/output.txt', flush=True)
        began = time.time()
        try:
            status = self._train(folder)
        finally:
            seconds = time.time() - began + (float(spent.read_text()) if spent.is_file() else 0)
            write_atomically(str(seconds).encode(), spent)
        if status:
            last = [line for line in (folder / 'output.txt').read_text().splitlines() if line][-1:]
            raise ValueError(
                f'{name} ended with status {status}: {"".join(last)} (see {folder}/output.txt)'
            )
        value = _last(folder, 'accuracy/top1')
        if value is None:
            raise ValueError(f'{name} logged no accuracy: see {folder}/output.txt')
        for old in folder.glob('epoch_*.pth'):
            old.unlink()  # the result is measured, so no run needs them again
        return result_row(name, self.setting, value / 100, seconds)

    def _train(self, folder: Path) -> int:
        """Runs ``tools/train.py`` on the config in the folder; returns its exit status."""
        command = [sys.executable]
        if self.options.processes > 1:
            command += [
                '-m',
                'torch.distributed.run',
                '--standalone',
                '--nproc_per_node',
                str(self.options.processes),
            ]
        command += [
            str(root() / 'tools/train.py'),
            str(folder / 'finetune.py'),
            '--work-dir',
            str(folder),
            '--resume',
            'auto',
        ]
        env = dict(
            os.environ,
            PYTHONPATH=os.pathsep.join(
                filter(
                    None, [str(Path(__file__).resolve().parents[2]), os.environ.get('PYTHONPATH')]
                )
            ),
        )
        own = self.options.device
        if self.options.processes == 1 or str(own).startswith('cpu'):
            env.update(_visible(own, env.get('CUDA_VISIBLE_DEVICES')))
        bar = ProgressBar(self.name, self.epochs)
        with open(folder / 'output.txt', 'a') as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env)
            try:
                while process.poll() is None:
                    time.sleep(0.5)
                    done = int(_last(folder, 'epoch') or 0)
                    if done > bar.done:
                        bar.to(done)
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
                bar.close()
        return process.returncode


def _visible(device: str, seen: Optional[str]) -> Dict[str, str]:
    """The variable that leaves a process only the named device, of those that this one sees."""
    kind, _, number = str(device).partition(':')
    if kind == 'cpu':
        return dict(CUDA_VISIBLE_DEVICES='')
    if kind != 'cuda' or not number:
        return {}
    return dict(CUDA_VISIBLE_DEVICES=seen.split(',')[int(number)] if seen else number)


def _last(folder: Path, key: str):
    """The last value that a run logged under a name; None if there is none."""
    return next((row[key] for row in reversed(read_scalars(folder)) if key in row), None)
