"""Pre-trains on embedded pictures and measures what was learned.

The floors are k-NN on raw pixels and on the network as initialised; what
training adds is the difference.
"""
import argparse
import io
import json
import os
import shlex
import sys
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import List, Optional

from mssl_plugins.commands.train import main as train
from mssl_plugins.errors import run_cli

CONFIG = 'simclr_resnet18_1xb64-coslr-8e_scenes'


def _clock(seconds: float) -> str:
    return f'{int(seconds) // 60}:{int(seconds) % 60:02d}'


class Progress:
    """One line that fills up; one line an epoch where there is no terminal."""

    def __init__(self, stream=sys.stdout) -> None:
        self.stream, self.live = stream, stream.isatty()
        self.began = time.time()

    def show(self, done: int, total: int, per_epoch: int, loss: float) -> None:
        """Shows that ``done`` of ``total`` iterations are behind us."""
        end = done % per_epoch == 0 or done == total
        if not (self.live or end):
            return
        left = (time.time() - self.began) / done * (total - done)
        bar = ('#' * (20 * done // total)).ljust(20, '.')
        text = (f'[{bar}] epoch {-(-done // per_epoch)}/'
                f'{-(-total // per_epoch)}  loss {loss:.3f}  '
                f'{_clock(left)} left')
        self.stream.write(f'\r{text:<70}' if self.live else f'{text}\n')
        if self.live and done == total:
            self.stream.write('\n')
        self.stream.flush()


def run(args: argparse.Namespace) -> None:
    """The quick start: floors, training, measurement, summary."""
    # A first look is no place for what the dependencies say of each other.
    warnings.filterwarnings('ignore', module='(?!mssl_plugins)')
    with redirect_stdout(io.StringIO()):
        import mmpretrain.datasets  # noqa: F401
    from mmengine.hooks import Hook

    from mssl_plugins.evaluation.backbone import Pixels
    from mssl_plugins.evaluation.features import extract_features
    from mssl_plugins.evaluation.knn import knn_accuracy
    from mssl_plugins.registry import DATASETS
    began = float(os.environ.get('MSSL_STARTED', time.time()))
    work_dir = Path(args.work_dir)
    (work_dir / 'summary.json').unlink(missing_ok=True)
    measured, pictures, progress = {}, [], Progress()

    def measure(model, runner) -> float:
        knn = runner.cfg.default_hooks.knn
        if not pictures:  # made once, measured three times
            pictures.extend(
                dict(part, dataset=list(DATASETS.build(part.dataset)))
                for part in (knn.bank, knn.test))
        bank, test = (extract_features(model, part) for part in pictures)
        k = min(knn.k, len(bank[0]))
        measured['pictures'] = len(test[0])
        measured['chance'] = 1 / len(test[1].unique())
        return knn_accuracy(
            *test, *bank, ks=[k], temperature=knn.temperature)[k]

    class QuickStart(Hook):
        """Measures before and after, shows how far training is."""
        priority = 'LOWEST'

        def before_run(self, runner) -> None:
            runner.logger.addFilter(lambda record: 'will be deprecated' not in record.getMessage())

        def before_train(self, runner) -> None:
            print('k-NN on raw pixels and on random features ...', flush=True)
            measured['knn_raw_pixels'] = measure(Pixels.of_config(runner.cfg), runner)
            measured['knn_random_init'] = measure(runner.model, runner)
            print(f'training {args.config}', flush=True)
            progress.began = time.time()

        def after_train_iter(self, runner, batch_idx, data_batch=None,
                             outputs=None) -> None:
            progress.show(runner.iter + 1, runner.max_iters,
                          len(runner.train_dataloader), outputs['loss'].item())

        def after_train(self, runner) -> None:
            measured['knn_trained'] = measure(runner.model, runner)
            measured['checkpoint'] = (
                Path(runner.work_dir) / 'last_checkpoint').read_text()

    argv = [args.config, '--work-dir', str(work_dir), '--overwrite', '--cfg-options',
            'log_level=WARNING',
            'default_hooks.knn.begin=1000000000']  # measured here, not by the hook
    if args.epochs is not None:
        argv.append(f'train_cfg.max_epochs={args.epochs}')
    status = train(argv, hooks=[QuickStart()])
    if status:
        return status
    summary = {
        key: round(measured[key], 4)
        for key in ('knn_raw_pixels', 'knn_random_init', 'knn_trained')
    }
    summary.update(seconds=round(time.time() - began, 1),
                   checkpoint=measured['checkpoint'], config=args.config)
    from mssl_plugins.files import write_atomically
    write_atomically(
        json.dumps(summary, indent=2).encode() + b'\n',
        work_dir / 'summary.json')
    _print_summary(summary, measured)


def _print_summary(summary: dict, measured: dict) -> None:
    """What was learned, and what to try next."""
    here = Path(os.path.relpath(measured['checkpoint']))
    print(f'''
k-NN accuracy on {measured['pictures']} held-out pictures (chance {measured['chance']:.2f})
  raw pixels               {summary['knn_raw_pixels']:.3f}
  random initialisation    {summary['knn_random_init']:.3f}
  trained                  {summary['knn_trained']:.3f}
{_clock(summary['seconds'])} minutes in all; {here.parent / 'summary.json'} holds the numbers.

Next (PY={sys.executable}):
  $PY -m mssl_plugins list
  $PY -m mssl_plugins train {summary['config']} --data FOLDER_OF_YOUR_IMAGES
  $PY -m mssl_plugins knn {shlex.quote(str(here))}''')


def main(argv: Optional[List[str]] = None) -> int:
    """Runs the quick start.

    Args:
        argv (List[str], optional): The command line. Defaults to None, the
            process's own.

    Returns:
        int: The exit status.
    """
    parser = argparse.ArgumentParser(
        prog='python -m mssl_plugins quickstart', description=__doc__)
    parser.add_argument('--config', default=CONFIG, help='what to train; it '
                        'needs a k-NN hook')
    parser.add_argument('--work-dir', default='work_dirs/quickstart')
    parser.add_argument('--epochs', type=int, help="instead of the config's")
    args = parser.parse_args(argv)
    return run_cli(lambda: run(args))


if __name__ == '__main__':
    sys.exit(main())
