"""Training from the command line: the body of ``tools/train.py``.

What OpenMMLab's ``train.py`` does, and:

- several processes on a machine without a GPU (over gloo; MMEngine's launcher
  always calls ``torch.cuda.set_device``);
- checkpoints are written atomically and run no code when read;
- a user's mistake gets one line and a non-zero exit, and leaves nothing
  behind.  ``MSSL_TRACEBACK=1`` shows where it was raised.
"""
import argparse
import gc
import inspect
import os
import re
import shutil
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from mssl_plugins.errors import EXTRAS, UserError, require, run_cli

EVALUATION_HOOKS = ('mssl_plugins.KNNHook', )


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


def _check_options(cfg, options: dict) -> None:
    """Refuses overrides of settings that do not exist."""
    from mmengine.runner import Runner

    from mssl_plugins.errors import unknown
    allowed = {*cfg, *inspect.signature(Runner.__init__).parameters} - {'self'}
    allowed |= {'model_wrapper_cfg', 'sync_bn', 'find_unused_parameters',
                'activation_checkpointing', 'work_dir', 'compile'}
    for key in options:
        if key.split('.')[0] not in allowed:
            raise unknown(key.split('.')[0], allowed, 'setting in --cfg-options')


def _last_checkpoint(work_dir: Path) -> Optional[str]:
    """The last checkpoint of a work dir, which may have been moved."""
    note = work_dir / 'last_checkpoint'
    if not note.exists():
        return None
    path = Path(note.read_text().strip())
    return str(path if path.exists() else work_dir / path.name)


def _drop_evaluation(cfg) -> None:
    """Takes out the hooks that evaluate while training."""
    cfg.custom_hooks = [
        hook for hook in cfg.get('custom_hooks') or []
        if hook['type'] not in EVALUATION_HOOKS
    ]
    for key, hook in list((cfg.get('default_hooks') or {}).items()):
        if hook and hook['type'] in EVALUATION_HOOKS:
            cfg.default_hooks.pop(key)


def _train_on(cfg, folder: str) -> None:
    """Puts a folder of images in the place of the config's data."""
    from mssl_plugins.evaluation.inputs import find_data
    from mssl_plugins.config import first_part
    if 'num_classes' in (cfg.model.get('head') or {}):  # a probe or fine-tuning
        from mssl_plugins.evaluation.data import use_data
        use_data(cfg, folder)
        return
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'--data: no such folder: {folder}')
    train = Path(folder) / 'train'
    cfg.train_dataloader.dataset = dict(
        type='mssl_plugins.ImageFolder',
        data_root=str(train if train.is_dir() else folder),
        pipeline=first_part(cfg.train_dataloader.dataset).pipeline)
    try:
        found = find_data(cfg, folder)
        if not all(any(p.is_dir() for p in Path(
                part['dataset']['data_root']).iterdir()) for part in found.values()):
            raise FileNotFoundError('no sub-folder a class')
    except (FileNotFoundError, ValueError):  # nothing to measure k-NN on
        _drop_evaluation(cfg)
        return
    for hook in [*(cfg.get('custom_hooks') or ()), *cfg.default_hooks.values()]:
        if hook and hook['type'] in EVALUATION_HOOKS:
            hook['bank'], hook['test'] = found['bank'], found['test']


def load_config(args: argparse.Namespace):
    """The config of a run, with the command line's settings merged in.

    Args:
        args (Namespace): What :func:`parse_args` returns.

    Returns:
        mmengine.Config: Ready for ``Runner.from_cfg``.

    Raises:
        FileNotFoundError: If the config or the checkpoint does not exist.
        ValueError: If an override names an unknown setting.
    """
    import torch
    from mmengine.config import Config

    from mssl_plugins.catalogue import find
    from mssl_plugins.config import each_dict
    path = find(args.config)
    cfg = Config.fromfile(str(path))
    if 'model' not in cfg or 'train_cfg' not in cfg:
        raise UserError(f'{path} describes no training: it needs `model` and '
                        '`train_cfg`')
    if cfg.get('default_scope') in EXTRAS:
        require(cfg.default_scope)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        _drop_evaluation(cfg)
    if args.data is not None:
        _train_on(cfg, args.data)
    if args.allow_missing:
        loading = [node for node in each_dict(cfg._cfg_dict)
                   if node.get('type') == 'mssl_plugins.LoadSegments']
        if not loading:
            raise UserError(f'--allow-missing: {path} loads no segments')
        for node in loading:
            node['allow_missing'] = True
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = os.path.join('work_dirs', path.stem)
    if args.amp and cfg.optim_wrapper.get('type', 'OptimWrapper') in (
            'OptimWrapper', 'AmpOptimWrapper'):
        cfg.optim_wrapper.type = 'mssl_plugins.BF16OptimWrapper'
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            cfg.optim_wrapper.pop(key, None)
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise UserError('--auto-scale-lr needs auto_scale_lr = dict('
                            f'base_batch_size=...) in {path}')
        cfg.auto_scale_lr.enable = True
    if args.seed is not None:
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=args.seed)
    if args.cfg_options:
        _check_options(cfg, args.cfg_options)
        cfg.merge_from_dict(args.cfg_options)

    if args.resume is not None:
        last = (_last_checkpoint(Path(cfg.work_dir))
                if args.resume == 'auto' else args.resume)
        if last is not None:  # else a first start, from the config's weights if it has any
            cfg.resume, cfg.load_from = True, last
    source = cfg.get('load_from')
    if source and '://' not in source and not os.path.isfile(source):
        raise FileNotFoundError(f'no such checkpoint: {source}')

    on_gpu = torch.cuda.is_available()
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader is None:
            continue
        if cfg.get('default_scope') not in ('mmdet', 'mmseg'):  # images of many sizes
            loader.setdefault('collate_fn', dict(type='default_collate'))
        loader.setdefault('pin_memory', True)
        loader.setdefault('persistent_workers', True)
        loader.pin_memory &= on_gpu and not args.no_pin_memory
        loader.persistent_workers &= (
            loader.get('num_workers', 0) > 0 and not args.no_persistent_workers)

    saving = (cfg.get('default_hooks') or {}).get('checkpoint')
    if saving and saving.get('type') == 'CheckpointHook':
        saving.type = 'mssl_plugins.AtomicCheckpointHook'
    if args.launcher != 'none' and not on_gpu:
        cfg.setdefault('model_wrapper_cfg', dict(
            type='mssl_plugins.CPUDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False)))
    # The runner copies the config into the work dir.  Under another name, so
    # that `mim`, which looks for a config by file name in the whole tree,
    # still finds one.
    cfg.setdefault('experiment_name', path.stem)
    return Config(
        cfg.to_dict(), cfg_text=cfg.text, filename=str(path.with_name('config.py')))


# ---------------------------------------------------------------------- run
class _Traces:
    """Knows what a run adds to the disk, to take it away if it never starts.
    """

    def __init__(self, work_dir: str) -> None:
        self.work_dir = Path(work_dir).absolute()
        self.new = [
            p for p in (self.work_dir, *self.work_dir.parents)
            if not p.exists()
        ]
        self.known = {p.name for p in self.work_dir.iterdir()
                      } if self.work_dir.is_dir() else set()

    def remove(self) -> None:
        if self.work_dir in self.new:
            shutil.rmtree(self.work_dir, ignore_errors=True)
        elif self.work_dir.is_dir():
            for path in self.work_dir.iterdir():
                if path.name not in self.known and re.fullmatch(
                        r'\d{8}_\d{6}|config\.py', path.name):
                    (shutil.rmtree if path.is_dir() else os.unlink)(path)
        for parent in self.new[1:]:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()


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
    state = dict(begun=False, traces=None)

    def body() -> None:
        args = parse_args(argv)
        from mmengine.hooks import Hook
        from mmengine.registry import RUNNERS
        from mmengine.runner import Runner

        from mssl_plugins.engine.hooks.checkpoint_hook import safe_loading
        safe_loading()
        cfg = load_config(args)

        class Begun(Hook):
            """Notes that one iteration is done."""

            def after_train_iter(self, *_, **__) -> None:
                state['begun'] = True

        if int(os.environ.get('RANK', 0)) == 0:
            state['traces'] = _Traces(cfg.work_dir)
        if args.launcher != 'none':
            from mssl_plugins.distributed import open_process_group
            open_process_group(args.launcher)
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg \
            else Runner.from_cfg(cfg)
        for hook in (*hooks, Begun()):
            runner.register_hook(hook, priority='LOWEST')
        runner.train()

    status = run_cli(body, lambda: not state['begun'])
    if status and not state['begun'] and state['traces']:
        state['traces'].remove()
    if status == 130 and state['begun']:
        print('go on with --resume', file=sys.stderr)
    if 'torch' in sys.modules:
        import torch.distributed as dist
        if dist.is_available() and dist.is_initialized() and not status:
            # A DDP wrapper that let go of the group last would wait for its threads, which wait for Python.
            gc.collect()
            dist.destroy_process_group()
    return status
