"""Pre-trains what a config describes: python tools/train.py CONFIG."""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
from typing import List, Optional, Sequence

from mssl_plugins.commands.options import Settings
from mssl_plugins.errors import UserError, quick_imports, require, run_cli

FEW = 8  # so many processes may be asked for on any machine


def parse_args(argv: Optional[Sequence[str]] = None) -> argparse.Namespace:
    """Reads the command line of ``tools/train.py``."""
    parser = argparse.ArgumentParser(
        prog='train.py',
        description='Pre-trains what a config describes.',
        epilog='A mistake gets one line; MSSL_TRACEBACK=1 shows where.',
    )
    parser.add_argument(
        'config',
        help='path of a config, or the name of a shipped one (see `python -m mssl_plugins list`)',
    )
    parser.add_argument(
        '--work-dir', help='where logs and checkpoints go; default: work_dirs/<name of the config>'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from this checkpoint, or from the last one in the work dir if none is named',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='delete an older run in the work dir once this one has made a step; '
        'without --overwrite or --resume such a work dir is refused',
    )
    _add_own_images(parser.add_argument_group('your own images and sizes'))
    _add_run_settings(parser)
    args = parser.parse_args(argv)
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if args.launcher == 'none' and int(os.environ.get('WORLD_SIZE', 1)) > 1:
        args.launcher = 'pytorch'  # started by torchrun
    if args.launcher != 'none':
        from mssl_plugins.distributed import name_process

        name_process(args.launcher)
    return args


def _add_own_images(own) -> None:
    own.add_argument(
        '--data',
        metavar='DIR',
        help='train on this folder of images, or shard or folder of shards (.tar, .parquet, '
        ".arrow, LMDB), instead of the config's data (photos/METHOD are recipes for it); where "
        'it has train/ and val/ or test/ with a sub-folder a class, k-NN is measured on them; '
        'probes and fine-tuning need such classes, or CIFAR or Tiny-ImageNet as unpacked',
    )
    own.add_argument(
        '--check', action='store_true', help='look at data and recipe, time a few steps, and stop'
    )
    own.add_argument(
        '--epochs',
        type=int,
        metavar='N',
        help='length of the training; all schedules are scaled with it',
    )
    own.add_argument(
        '--batch-size',
        type=int,
        metavar='N',
        help='images in a step and process; the learning rate is scaled with it (linear rule)',
    )
    own.add_argument('--lr', type=float, help='learning rate for that batch')
    own.add_argument('--size', type=int, metavar='PX', help='side of the views')
    own.add_argument(
        '--segments',
        metavar='STORE',
        help='segment store for mask-guided methods; default: made before training',
    )
    own.add_argument(
        '--from',
        dest='load_from',
        metavar='CHECKPOINT',
        help='start from these '
        'weights: of this library, timm, DINO, MAE, torchvision, Hugging Face; of phase 2 of '
        'mask-guided training the checkpoint of phase 1',
    )
    own.add_argument(
        '--max-bad',
        type=float,
        default=0.01,
        metavar='FRACTION',
        help='fraction of files that may be unusable; default: 0.01',
    )
    own.add_argument(
        '--min-size',
        type=int,
        default=0,
        metavar='PX',
        help='images with a shorter side are left out',
    )
    own.add_argument(
        '--channels',
        type=int,
        metavar='N',
        help='keep N channels as they are in the files (.npy, TIFF, PNG), 1 to 64, instead of '
        'making 8-bit RGB',
    )
    own.add_argument(
        '--bits', type=int, default=8, choices=(8, 16), help='of these channels; default: 8'
    )
    own.add_argument(
        '--processes',
        type=int,
        default=1,
        metavar='N',
        help='train with N processes on this machine',
    )


def _add_run_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--allow-missing',
        action='store_true',
        help='train although some images have no segments: these get no attention bias',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in bfloat16, on CPU or GPU, also where the processor only emulates it',
    )
    parser.add_argument(
        '--compile',
        action='store_true',
        help="compile the networks' blocks with torch.compile: the first steps take about a "
        'minute longer, the others may take less time',
    )
    parser.add_argument('--no-validate', action='store_true', help='no evaluation while training')
    parser.add_argument(
        '--auto-scale-lr', action='store_true', help='scale the learning rate with the real batch'
    )
    parser.add_argument('--no-pin-memory', action='store_true')
    parser.add_argument('--no-persistent-workers', action='store_true')
    parser.add_argument(
        '--verbose',
        action='store_true',
        help="show MMEngine's log on the console, not only in its file",
    )
    parser.add_argument('--seed', type=int, help='seed of the run')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Settings,
        metavar='KEY=VALUE',
        help='override settings: optim_wrapper.optimizer.lr=0.1 train_cfg.max_epochs=3 key="[a,b]"',
    )
    parser.add_argument('--launcher', default='none', choices=['none', 'pytorch', 'slurm', 'mpi'])
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def run_options(args: argparse.Namespace) -> dict:
    """The arguments of :func:`mssl_plugins.run_config.build_run_config` from a command line."""
    given = dict(
        vars(args),
        options=args.cfg_options,
        validate=not args.no_validate,
        pin_memory=not args.no_pin_memory,
        persistent_workers=not args.no_persistent_workers,
    )
    from mssl_plugins.photos import Wishes

    processes = max(args.processes, int(os.environ.get('WORLD_SIZE', 1)))
    given['wishes'] = Wishes(
        epochs=args.epochs,
        batch_size=args.batch_size,
        size=args.size,
        lr=args.lr,
        segments=args.segments,
        max_bad=args.max_bad,
        min_size=args.min_size,
        processes=processes,
        validate=not args.no_validate,
        check=args.check,
        channels=args.channels,
        bits=args.bits,
    )
    for name in (
        'cfg_options',
        'no_validate',
        'no_pin_memory',
        'no_persistent_workers',
        'local_rank',
        'check',
        'verbose',
        'overwrite',
        'processes',
        *Wishes._fields,
    ):
        given.pop(name, None)
    return dict(given, validate=not args.no_validate)


def _end_with_parent() -> None:
    """Lets the launcher end its processes if this one is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def start_processes(argv: Sequence[str], processes: int) -> int:
    """Runs this command in several processes under torchrun; returns the exit status.

    A signal that asks to stop is passed on: every process saves, then ends.
    """
    command = [
        sys.executable,
        '-m',
        'mssl_plugins.commands.torchrun',
        '--standalone',
        '--nproc_per_node',
        str(processes),
        '-m',
        'mssl_plugins',
        'train',
        *argv,
    ]
    asked = []
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=_end_with_parent)

    def hand_on(signum: int, frame) -> None:
        asked.append(signum)
        process.terminate()

    for signum in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, hand_on)
    status = process.wait()
    if status and asked:
        return 130 if asked[0] == signal.SIGINT else 143
    return status


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

    def body() -> Optional[int]:
        nonlocal run
        args = parse_args(argv)
        if args.processes < 1:
            raise UserError(f'--processes {args.processes}: must be 1 or more')
        cores = len(os.sched_getaffinity(0))
        if args.processes > max(cores, FEW):
            raise UserError(f'--processes {args.processes}: this machine has {cores} cores')
        if args.processes > 1 and 'WORLD_SIZE' not in os.environ:
            return start_processes(sys.argv[1:] if argv is None else argv, args.processes)
        with quick_imports():
            from mssl_plugins.training import TrainingRun

        run = TrainingRun.prepare(
            hooks, args.check, args.verbose, args.overwrite, **run_options(args)
        )
        run.train()

    return run_cli(body, lambda: run is None or not run.begun)
