"""Pre-trains what a config describes: python tools/train.py CONFIG."""
import argparse
import os
import sys
from typing import List, Optional, Sequence

from mssl_plugins.errors import require, run_cli


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line of ``tools/train.py``."""
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    from mmengine.config import DictAction
    parser = argparse.ArgumentParser(
        prog='train.py',
        description='Pre-trains what a config describes.',
        epilog='A mistake gets one line; MSSL_TRACEBACK=1 shows where.')
    parser.add_argument('config', help='path of a config, or the name of a '
                        'shipped one (see `python -m mssl_plugins list`)')
    parser.add_argument('--work-dir', help='where logs and checkpoints go; '
                        'default: work_dirs/<name of the config>')
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='go on from this checkpoint, or from the last one of the work '
        'dir if none is named')
    parser.add_argument('--data', metavar='DIR', help="train on this folder of "
                        "images instead of the config's data; where it has "
                        'train/ and val/ or test/ with a sub-folder a class, '
                        'k-NN is measured on them, otherwise not; probes and '
                        'fine-tuning need such classes, or CIFAR or '
                        'Tiny-ImageNet as unpacked')
    parser.add_argument('--allow-missing', action='store_true',
                        help='train although some images have no segments: '
                        'these get no attention bias')
    parser.add_argument('--amp', action='store_true',
                        help='train in bfloat16, on CPU or GPU')
    parser.add_argument('--no-validate', action='store_true',
                        help='no evaluation while training')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate with the real batch')
    parser.add_argument('--no-pin-memory', action='store_true')
    parser.add_argument('--no-persistent-workers', action='store_true')
    parser.add_argument('--seed', type=int, help='seed of the run')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction, metavar='KEY=VALUE',
        help='override settings: optim_wrapper.optimizer.lr=0.1 '
        'train_cfg.max_epochs=3 key="[a,b]"')
    parser.add_argument('--launcher', default='none',
                        choices=['none', 'pytorch', 'slurm', 'mpi'])
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0,
                        help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.launcher == 'none' and int(os.environ.get('WORLD_SIZE', 1)) > 1:
        args.launcher = 'pytorch'  # started by torchrun
    return args


def run_options(args: argparse.Namespace) -> dict:
    """What :func:`mssl_plugins.run_config.build_run_config` gets from a command line."""
    given = dict(vars(args), options=args.cfg_options, validate=not args.no_validate,
                 pin_memory=not args.no_pin_memory,
                 persistent_workers=not args.no_persistent_workers)
    for name in ('cfg_options', 'no_validate', 'no_pin_memory', 'no_persistent_workers',
                 'local_rank'):
        del given[name]
    return given


def main(argv: Optional[List[str]] = None, hooks: Sequence = ()) -> int:
    """Trains.

    Args:
        argv (List[str], optional): The command line. Defaults to None, the
            process's own.
        hooks (Sequence[mmengine.hooks.Hook]): Further hooks, for a tool that
            trains as one of its steps. Defaults to ().

    Returns:
        int: The exit status.
    """
    run = None

    def body() -> None:
        nonlocal run
        args = parse_args(argv)
        from mssl_plugins.run_config import build_run_config
        from mssl_plugins.training import TrainingRun
        run = TrainingRun(build_run_config(**run_options(args)), hooks)
        run.train()

    status = run_cli(body, lambda: run is None or not run.begun)
    if status == 130 and run is not None and run.begun:
        print('go on with --resume', file=sys.stderr)
    return status
