"""The config of one run: a shipped one, the study's sizes, the data of this machine."""

import os
from pathlib import Path
from typing import Optional

from evidence_tool.kept import Task
from evidence_tool.study import ROOT, Length, Study
from mssl_plugins.catalogue import find
from mssl_plugins.config import each_dict
from mssl_plugins.errors import UserError

CURVE_POINTS = 8
CURVE_QUERIES = 2000  # of the curves; the figures take every test image


def find_data(given: Optional[str]) -> Optional[Path]:
    """The folder of packed images (``cifar10_train.npz``, ...), if there is one."""
    if given and not Path(given).is_dir():
        raise FileNotFoundError(f'--data {given}: no such folder')
    for place in (given, os.environ.get('MSSL_DATA'), ROOT.parent / 'shared' / 'data'):
        if place and any(Path(place).glob('*_train.npz')):
            return Path(place).resolve()
    return None


def use_packed(cfg, data: Path) -> None:
    """Points every data set of a config at its packed images, if ``data`` holds them."""
    for node in each_dict(cfg._cfg_dict):
        if 'data_root' in node and 'split' in node:
            packed = data / f'{Path(node["data_root"]).name}_{node["split"]}.npz'
            if packed.exists():
                for key in ('data_root', 'split'):
                    node.pop(key)
                node.update(type='mssl_plugins.PackedImages', ann_file=str(packed))


def schedule(cfg, epochs: int, rate: float, warmup: float = 0) -> None:
    """Sets the length: linear warm-up, then a cosine to 0, by iterations.

    Args:
        cfg (mmengine.Config): Changed in place.
        epochs (int): Passes over the data.
        rate (float): Learning rate for the batch of the config.
        warmup (float): Epochs of warm-up. Defaults to 0.
    """
    cfg.optim_wrapper.optimizer.lr = rate
    cfg.train_cfg.max_epochs = epochs
    cfg.param_scheduler = [
        dict(
            type='CosineAnnealingLR',
            begin=warmup,
            end=epochs,
            T_max=epochs - warmup,
            by_epoch=True,
            convert_to_iter_based=True,
        )
    ]
    if warmup:
        cfg.param_scheduler.insert(
            0,
            dict(
                type='LinearLR',
                start_factor=1e-4,
                begin=0,
                end=warmup,
                by_epoch=True,
                convert_to_iter_based=True,
            ),
        )


def every(total: int, count: int) -> range:
    """``count`` of ``total`` images, evenly over the set (it may be sorted by class)."""
    return range(0, total, max(total // count, 1))


def cifar10(cfg, length: Length, stretch: float, rate: float, warmup: float = 0) -> None:
    """Trains on CIFAR-10; a bank of 5,000 images and a part of the queries for the curves.

    Args:
        cfg (mmengine.Config): Changed in place.
        length (Length): Training images and epochs.
        stretch (float): Times these epochs.
        rate (float): See :func:`schedule`.
        warmup (float): See :func:`schedule`. Defaults to 0.
    """
    cfg.train_dataloader.dataset.indices = every(50000, length.images)
    cfg.default_hooks.knn.bank.dataset.indices = every(50000, 5000)
    cfg.default_hooks.knn.test.dataset.indices = every(10000, CURVE_QUERIES)
    schedule(cfg, round(length.epochs * stretch), rate, warmup)


def build(study: Study, task: Task, data: Optional[Path], after: Optional[Path] = None):
    """The config of a run.

    Args:
        study (Study): Says sizes and differences.
        task (Task): Which of its runs.
        data (Path, optional): Folder of packed images; None: the images that the
            config names.
        after (Path, optional): Checkpoint of the run before it. Defaults to None.

    Returns:
        mmengine.Config: Ready for ``tools/train.py``.

    Raises:
        UserError: If the config has no KNNHook.
    """
    from mmengine.config import Config

    variant, length = study.variants[task.variant], study.lengths[task.length]
    cfg = Config.fromfile(find(variant.config))
    study.prepare(cfg, length, variant.stretch, task.rate)
    options = {**length.options, **variant.options}
    cfg.merge_from_dict(
        {
            key: value.format(after=after) if isinstance(value, str) else value
            for key, value in options.items()
        }
    )
    if data:
        use_packed(cfg, data)
    cfg.randomness = dict(cfg.get('randomness', {}), seed=task.seed)
    workers = 8 if study.device == 'cuda' else 0
    cfg.train_dataloader.update(num_workers=workers, persistent_workers=bool(workers))
    cfg.optim_wrapper.type = 'OptimWrapper'  # float32, whatever the recipe has
    for key in ('dtype', 'loss_scale'):
        cfg.optim_wrapper.pop(key, None)
    epochs = cfg.train_cfg.max_epochs
    cfg.default_hooks.checkpoint.update(interval=max(epochs // 40, 1), max_keep_ckpts=1)
    cfg.default_hooks.logger.update(interval=50)
    cfg.visualizer.vis_backends = [dict(type='LocalVisBackend')]
    hook = cfg.default_hooks.get('knn')
    if hook is None:
        raise UserError(f'{variant.config} has no k-NN hook that names bank and test images')
    hook.update(interval=max(epochs // CURVE_POINTS, 1), k=20, temperature=0.1)
    return cfg
