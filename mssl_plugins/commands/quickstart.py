"""Pre-trains on embedded images and measures what was learned.

The baselines are k-NN on raw pixels and on the network as initialized; what
training adds is the difference.
"""

import argparse
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import List, Optional

from mssl_plugins.commands.train import main as train
from mssl_plugins.errors import UserError, require, run_cli
from mssl_plugins.files import write_atomically

CONFIG = 'simclr_resnet18_1xb64-coslr-8e_scenes'


def run(args: argparse.Namespace) -> None:
    """The quick start: baselines, training, measurement, summary."""
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    from mmengine.hooks import Hook

    from mssl_plugins.config import knn_hook, read_config
    from mssl_plugins.engine.hooks.knn_hook import KNNHook
    from mssl_plugins.evaluation.backbone import Pixels
    from mssl_plugins.evaluation.features import extract_features
    from mssl_plugins.evaluation.knn import knn_accuracy
    from mssl_plugins.registry import DATASETS

    began = float(os.environ.get('MSSL_STARTED', time.time()))
    work_dir = Path(args.work_dir)
    (work_dir / 'summary.json').unlink(missing_ok=True)
    measured, images = {}, []
    knn = knn_hook(read_config(args.config))
    if knn is None:
        raise UserError(f'--config {args.config}: has no KNNHook that names images to measure on')

    def measure(model) -> float:
        if not images:  # made once, measured three times
            images.extend(
                dict(part, dataset=list(DATASETS.build(part.dataset)))
                for part in (knn.bank, knn.test)
            )
        bank, test = (extract_features(model, part) for part in images)
        k = min(knn.k, len(bank[0]))
        measured['images'] = len(test[0])
        measured['chance'] = 1 / len(test[1].unique())
        return knn_accuracy(*test, *bank, ks=[k], temperature=knn.temperature)[k]

    class QuickStart(Hook):
        """Measures before and after, in the stock hook's place."""

        priority = 'LOWEST'

        def before_run(self, runner) -> None:
            # The config keeps it, so that the checkpoint alone can be measured again.
            runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, KNNHook)]

        def before_train(self, runner) -> None:
            print('k-NN on raw pixels and on random features ...', flush=True)
            measured['knn_raw_pixels'] = measure(Pixels.of_config(runner.cfg))
            measured['knn_random_init'] = measure(runner.model)

        def after_train(self, runner) -> None:
            measured['knn_trained'] = measure(runner.model)
            measured['checkpoint'] = (Path(runner.work_dir) / 'last_checkpoint').read_text()

    argv = [args.config, '--work-dir', str(work_dir), '--overwrite']
    if args.epochs is not None:
        argv += ['--epochs', str(args.epochs)]
    status = train(argv, hooks=[QuickStart()])
    if status:
        return status
    summary = {
        key: round(measured[key], 4) for key in ('knn_raw_pixels', 'knn_random_init', 'knn_trained')
    }
    summary.update(
        seconds=round(time.time() - began, 1), checkpoint=measured['checkpoint'], config=args.config
    )
    write_atomically(json.dumps(summary, indent=2).encode() + b'\n', work_dir / 'summary.json')
    _write_report(work_dir)  # again: the run's own is without the measurement after it
    _print_summary(summary, measured)


def _write_report(work_dir: Path) -> None:
    from mssl_plugins.report.page import write_report

    try:
        write_report([work_dir])
    except Exception as error:  # the numbers are there: a page that fails is no failure
        print(f'no report: {error}', file=sys.stderr)


def _print_summary(summary: dict, measured: dict) -> None:
    """What was learned, and what to try next."""
    from mssl_plugins.console import duration

    here = Path(os.path.relpath(measured['checkpoint']))
    print(f"""
k-NN accuracy on {measured['images']} held-out images (chance {measured['chance']:.2f})
  raw pixels               {summary['knn_raw_pixels']:.3f}
  random initialization    {summary['knn_random_init']:.3f}
  trained                  {summary['knn_trained']:.3f}
{duration(summary['seconds'])} in all; {here.parent / 'summary.json'} holds the numbers.
Open {here.parent / 'report.html'} in a browser: curves, baselines, what comes next.

Next (PY={sys.executable}):
  $PY -m mssl_plugins list
  $PY -m mssl_plugins train photos/simclr --data FOLDER_OF_YOUR_IMAGES
  $PY -m mssl_plugins knn {shlex.quote(str(here))}""")


def main(argv: Optional[List[str]] = None) -> int:
    """Runs the quick start.

    Args:
        argv (List[str], optional): The command line. Defaults to None, the
            process's own.

    Returns:
        int: The exit status.
    """
    parser = argparse.ArgumentParser(prog='python -m mssl_plugins quickstart', description=__doc__)
    parser.add_argument('--config', default=CONFIG, help='what to train; it needs a k-NN hook')
    parser.add_argument('--work-dir', default='work_dirs/quickstart')
    parser.add_argument('--epochs', type=int, help="default: the config's")
    args = parser.parse_args(argv)
    return run_cli(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
