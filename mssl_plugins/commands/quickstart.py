"""Pre-trains on generated images and measures what was learned.

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

CONFIG, WORK_DIR = 'simclr_resnet18_1xb64-coslr-8e_scenes', 'work_dirs/quickstart'


def run(args: argparse.Namespace) -> Optional[int]:
    """The quick start: baselines, training, measurement, summary.

    Raises:
        UserError: If the config names no images to measure on.
    """
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    from mssl_plugins.config import knn_hook, read_config
    from mssl_plugins.report.run import FACTS, read_run

    began = float(os.environ.get('MSSL_STARTED', time.time()))
    work_dir = Path(args.work_dir)
    own = args.overwrite or (work_dir / 'summary.json').exists() or args.work_dir == WORK_DIR
    (work_dir / 'summary.json').unlink(missing_ok=True)
    if knn_hook(read_config(args.config)) is None:
        raise UserError(f'--config {args.config}: has no KNNHook that names images to measure on')
    print('k-NN on raw pixels and on random features, then training ...', flush=True)
    argv = [args.config, '--work-dir', str(work_dir)]
    argv += ['--overwrite'] * own
    if args.epochs is not None:
        argv += ['--epochs', str(args.epochs)]
    status = train(argv)
    if status:
        return status
    # The run's own hooks measured all of it: KNNHook after the last epoch, ReportHook before
    # the first step.
    found, facts = read_run(work_dir), json.loads((work_dir / FACTS).read_text())
    if len(found.baselines) < 2:
        raise UserError(f'no baselines: {found.why_no_baseline}')
    summary = dict(
        knn_raw_pixels=found.baselines['raw_pixels'],
        knn_random_init=found.baselines['initial_weights'],
        knn_trained=found.last(found.knn),
    )
    summary = {key: round(value, 4) for key, value in summary.items()}
    summary.update(
        seconds=round(time.time() - began, 1), checkpoint=str(found.checkpoint), config=args.config
    )
    write_atomically(json.dumps(summary, indent=2).encode() + b'\n', work_dir / 'summary.json')
    _print_summary(summary, **facts['queries'])


def _print_summary(summary: dict, images: int, classes: int) -> None:
    """What was learned, and what to try next."""
    from mssl_plugins.console import duration

    here = Path(os.path.relpath(summary['checkpoint']))
    print(f"""
k-NN accuracy on {images} held-out images (chance {1 / classes:.2f})
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
    parser.add_argument('--work-dir', default=WORK_DIR)
    parser.add_argument(
        '--overwrite', action='store_true', help='delete a run in it that is no quick start'
    )
    parser.add_argument('--epochs', type=int, help="default: the config's")
    args = parser.parse_args(argv)
    return run_cli(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
