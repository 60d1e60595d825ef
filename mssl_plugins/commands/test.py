"""Tests a checkpoint as its config says: python tools/test.py CONFIG CHECKPOINT.

What `mim test` runs: a config with a test loop (probes, fine-tuning, detectors,
segmenters) is tested by MMEngine's runner, a pre-training config by its KNNHook.
"""

import argparse
import json
import os
from pathlib import Path

from mssl_plugins.commands.options import Settings
from mssl_plugins.errors import UserError, require


def parse_args(argv=None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog='test.py',
        description='Tests a checkpoint by the test loop of its config; one of pre-training, '
        'which has none, by the k-NN that its config measures while training.',
        epilog='The unit tests are tools/test.sh. A mistake gets one line; MSSL_TRACEBACK=1 '
        'shows where.',
    )
    parser.add_argument('config', help='a config, by path or name')
    parser.add_argument('checkpoint', help='a checkpoint of this config')
    parser.add_argument('--work-dir', help='where the log goes; default: work_dirs/NAME')
    parser.add_argument('--out', metavar='FILE', help='write what was measured as JSON')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Settings,
        metavar='KEY=VALUE',
        help='override settings: test_dataloader.batch_size=16',
    )
    parser.add_argument('--launcher', default='none', choices=['none', 'pytorch', 'slurm', 'mpi'])
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def main(argv=None) -> None:
    """Parses the command line, tests, prints.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        UserError: If the config has nothing to test.
    """
    args = parse_args(argv)
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    from mmengine.dist import is_main_process
    from mmengine.runner import Runner

    from mssl_plugins.checkpoints.loading import safe_loading
    from mssl_plugins.config import knn_hook, read_config
    from mssl_plugins.distributed import open_process_group
    from mssl_plugins.errors import EXTRAS
    from mssl_plugins.files import write_atomically

    if not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f'no such checkpoint: {args.checkpoint}')
    cfg = read_config(args.config)
    if cfg.get('default_scope') in EXTRAS:
        require(cfg.default_scope)
    cfg.merge_from_dict(args.cfg_options or {})
    cfg.launcher = args.launcher
    safe_loading()
    if args.launcher != 'none':
        open_process_group(args.launcher)
    if cfg.get('test_dataloader') is not None:
        cfg.work_dir = args.work_dir or os.path.join('work_dirs', Path(args.config).stem)
        cfg.load_from = args.checkpoint
        measured = Runner.from_cfg(cfg).test()
    elif knn_hook(cfg) is not None:
        measured = _knn(cfg, args.checkpoint)
    else:
        raise UserError(
            f'{args.config} has neither a test_dataloader nor a KNNHook: there is nothing to test '
            '(`evaluate CHECKPOINT --data DIR` measures any backbone)'
        )
    if not is_main_process():
        return
    for name, value in measured.items():
        print(f'{name:24}{value:10.4f}' if isinstance(value, float) else f'{name:24}{value}')
    if args.out:
        text = json.dumps({name: float(value) for name, value in measured.items()}, indent=2)
        write_atomically(text.encode() + b'\n', args.out)


def _knn(cfg, checkpoint: str) -> dict:
    """The k-NN accuracy that the config's KNNHook would log for the checkpoint."""
    from mssl_plugins.config import find_set, knn_hook
    from mssl_plugins.evaluation.features import extract_features
    from mssl_plugins.evaluation.inputs import build_model
    from mssl_plugins.evaluation.summary import summarize

    hook = knn_hook(cfg)
    model, loaded = build_model(cfg, checkpoint, hook.get('branch'))
    print(f'{checkpoint}: {loaded}; no test_dataloader: k-NN as the KNNHook measures it')
    pool = hook.get('pool', 'auto')
    bank, test = (extract_features(model, find_set(cfg, part), pool) for part in ('train', 'test'))
    ks = hook.get('k', 200)
    ks = [ks] if isinstance(ks, int) else list(ks)
    return summarize(bank, test, ks, hook.get('temperature', 0.1))
