"""Runs of dense transfer: pre-training of each seed, then the detector or segmenter on top."""

import time
from argparse import Namespace
from pathlib import Path
from typing import Iterator, List, Optional

from evidence_tool import pieces
from evidence_tool.dense_study import FAMILIES, RANDOM, RATES, SEEDS, TRANSFERS, starts
from evidence_tool.kept import Kept, Task, figure, kept_figures
from evidence_tool.statistics import percent
from evidence_tool.study import ROOT, SPARE_SEED

MINUTES = 30


def best_rate(kept: Kept, transfer: str, start: str) -> Optional[float]:
    """The factor of the best try of a start; None while tries are missing."""
    tries = {
        r['rate']: figure(r, TRANSFERS[transfer].figure)
        for r in kept.find(kind='sweep', variant=start, length=transfer)
    }
    return None if set(RATES) - set(tries) else max(RATES, key=lambda rate: tries[rate])


def missing(kept: Kept, transfers: List[str]) -> Iterator[Task]:
    """Runs that can be started now: tries on the spare seed, then fresh seeds."""
    for transfer in transfers:
        for start in starts(TRANSFERS[transfer]):
            tries = [Task('sweep', start, transfer, SPARE_SEED, rate) for rate in RATES]
            rate = best_rate(kept, transfer, start)
            fresh = (
                []
                if rate is None
                else [Task('final', start, transfer, seed, rate) for seed in range(SEEDS)]
            )
            yield from (t for t in (*tries, *fresh) if not kept.has(t))


def make_data(name: str, folder: Path, source: Optional[str]) -> None:
    """The set that a transfer's config looks for, once."""
    from mssl_plugins.datasets.dense_layouts import PACKED, default_source, write_scenes
    from mssl_plugins.files import whole_folder

    out = folder / 'data' / name
    if out.exists():
        return
    with whole_folder(out) as part:
        if name in PACKED:
            PACKED[name](default_source(source, ROOT), part)
        else:
            write_scenes(part, name.split('-')[1])


def pretrain(folder: Path, start: str, family: str, seed: int, clock, env) -> Optional[Path]:
    """The checkpoint of a start and seed, trained where it is not there; None: no time."""
    from mmengine.config import Config

    from mssl_plugins.catalogue import find

    weights = FAMILIES[family][start]
    run = folder / f'pretrain-{weights.config}-s{seed}'
    cfg = Config.fromfile(find(weights.config))
    cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)
    cfg.default_hooks.pop('knn', None)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
    seconds = min(clock.left, 60 * MINUTES)
    return pieces.checkpoint(run) if pieces.train(cfg, run, seconds, env) else None


def config_of(task: Task, folder: Path, run: Path, checkpoint: Optional[Path]):
    """The config of a run: data, start and seed put in, figures kept image by image."""
    from mmengine.config import Config

    from mssl_plugins.catalogue import find

    transfer = TRANSFERS[task.length]
    cfg = Config.fromfile(find(transfer.config))
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[loader].update(num_workers=0, persistent_workers=False)
        cfg[loader].dataset.data_root = str(folder / cfg[loader].dataset.data_root)
    cfg.randomness = dict(seed=task.seed)
    cfg.optim_wrapper.optimizer.lr *= task.rate
    hook = cfg.default_hooks.backbone
    if checkpoint is None:
        hook.checkpoint = None
    else:
        hook.checkpoint = str(checkpoint)
        hook.branch = FAMILIES[transfer.family][task.variant].branch
    for name in ('val_evaluator', 'test_evaluator'):
        cfg[name] = [_kept_metric(metric, run) for metric in _listed(cfg[name])]
    cfg.custom_imports = dict(
        imports=[*cfg.custom_imports.imports, 'evidence_tool.dense_metrics'],
        allow_failed_imports=False,
    )
    return cfg


def _listed(evaluator) -> list:
    return [dict(m) for m in (evaluator if isinstance(evaluator, (list, tuple)) else [evaluator])]


def _kept_metric(metric: dict, run: Path) -> dict:
    """A metric that leaves behind what the interval needs."""
    if metric['type'].endswith('IoUMetric'):
        return dict(metric, type='mssl_plugins.KeptIoUMetric', folder=str(run))
    if metric['type'].endswith('CocoMetric'):
        return dict(metric, outfile_prefix=str(run / 'boxes'))
    return metric


def do(task: Task, folder: Path, kept: Kept, args: Namespace, clock, env) -> bool:
    """A run to its end; False: the time was over."""
    transfer = TRANSFERS[task.length]
    make_data(transfer.data, folder, args.data)
    checkpoint = None
    if task.variant != RANDOM:
        checkpoint = pretrain(folder, task.variant, transfer.family, task.seed, clock, env)
        if checkpoint is None:
            return False
    run = folder / task.name.replace(' ', '')
    cfg = config_of(task, folder, run, checkpoint)
    if not pieces.train(cfg, run, min(clock.left, 60 * MINUTES), env):
        return False
    from evidence_tool.dense_metrics import of_run

    values = of_run(run, [transfer.figure])
    kept.add(
        task,
        dict(
            figures=kept_figures(values, _value),
            machine=pieces.machine('cpu'),
            threads=1,
            seconds=round(pieces.spent(run)),
        ),
    )
    return True


def _value(values) -> float:
    """A figure in % from what is kept of it: counts, or the whole set's AP first."""
    return values[0] if values.ndim == 1 else percent(values)


def run(args: Namespace, kept: Kept) -> None:
    """Goes on with the runs, one after another, until the time is over."""
    clock, env = pieces.Clock(args.minutes), pieces.environment('cpu', 1)
    folder = Path(args.work_dir).absolute()
    while clock.left > 30:
        task = next(missing(kept, args.transfers), None)
        if task is None:
            break
        print(f'{time.strftime("%H:%M:%S")} {task.kind} {task.name} ...', flush=True)
        if not do(task, folder, kept, args, clock, env):
            break
        value = figure(kept.records[-1], TRANSFERS[task.length].figure)
        print(f'{time.strftime("%H:%M:%S")} {task.name}: {value:.1f}', flush=True)
