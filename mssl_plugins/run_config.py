"""The config of a training run: a config file with the user's options applied."""

import copy
import os
import sys
from pathlib import Path
from typing import Iterable, Optional

import torch
from mmengine.config import Config
from mmengine.utils import digit_version

from mssl_plugins import photos, preflight, recipes
from mssl_plugins.catalogue import find
from mssl_plugins.config import each_dict, read
from mssl_plugins.config_check import HOOKS, check_config
from mssl_plugins.config_tree import settings
from mssl_plugins.datasets.bands import check_channels
from mssl_plugins.datasets.class_check import check_classes
from mssl_plugins.distributed import first_does, first_process
from mssl_plugins.errors import ConfigError, UserError, nearest
from mssl_plugins.evaluation.data import use_data
from mssl_plugins.photos import Wishes
from mssl_plugins.work_dir import last_checkpoint

#: hooks that evaluate while training
EVALUATION_HOOKS = ('mssl_plugins.KNNHook',)

#: optimizers whose step torch makes in one kernel, three to four times as fast on a CPU
FUSED = ('Adam', 'AdamW', 'SGD')


def work_dir_of(
    config: str, work_dir: Optional[str] = None, options: Optional[dict] = None, **_
) -> str:
    """Where a run goes: as given, as the config says, or below ``work_dirs``.

    Args:
        config (str): See :func:`build_run_config`.
        work_dir (str, optional): See there. Defaults to None.
        options (dict, optional): See there. Defaults to None.

    Returns:
        str: The folder; it need not exist.
    """
    given = work_dir or (options or {}).get('work_dir')
    path = find(config)
    return os.path.expanduser(given or _own_work_dir(read(path), path))


def _own_work_dir(cfg: Config, path: Path) -> str:
    return cfg.get('work_dir') or os.path.join('work_dirs', path.stem)


def _absent(checkpoint: str) -> bool:
    return '://' not in checkpoint and not os.path.isfile(checkpoint)


def build_run_config(
    config: str,
    work_dir: Optional[str] = None,
    resume: Optional[str] = None,
    data: Optional[str] = None,
    wishes: Wishes = Wishes(),
    load_from: Optional[str] = None,
    allow_missing: bool = False,
    amp: bool = False,
    compile: bool = False,
    validate: bool = True,
    auto_scale_lr: bool = False,
    pin_memory: bool = True,
    persistent_workers: bool = True,
    seed: Optional[int] = None,
    options: Optional[dict] = None,
    launcher: str = 'none',
) -> Config:
    """The config of a run, ready for MMEngine's runner.

    Its length is that of its list of arguments, which are the options of ``train``.

    Args:
        config (str): A path, or the name of a shipped config.
        work_dir (str, optional): Where logs and checkpoints go. Defaults to
            None: the config's own, or ``work_dirs/<name>``.
        resume (str, optional): A checkpoint to resume from; 'auto': the last
            one in the work dir. Defaults to None.
        data (str, optional): A folder of images, or shards, instead of the
            config's data, see :func:`mssl_plugins.photos.use_folder`; probes and
            fine-tuning need labeled images. Defaults to None.
        wishes (Wishes): Length, batch, learning rate, size, and options of the
            folder. Defaults to nothing.
        load_from (str, optional): Weights to start from, of this library,
            timm, DINO, MAE, torchvision or Hugging Face. Defaults to None.
        allow_missing (bool): Train although some images have no segments.
            Defaults to False.
        amp (bool): Train in bfloat16. Defaults to False.
        compile (bool): Compile the networks' blocks with torch.compile. Defaults
            to False.
        validate (bool): Evaluate while training. Defaults to True.
        auto_scale_lr (bool): Scale the learning rate with the real batch.
            Defaults to False.
        pin_memory (bool): Let loaders pin memory. Defaults to True.
        persistent_workers (bool): Let loaders keep their workers between
            epochs. Defaults to True.
        seed (int, optional): Seed of the run. Defaults to None, the config's.
        options (dict, optional): Settings to override, with dotted keys. Defaults
            to None.
        launcher (str): 'none', 'pytorch', 'slurm' or 'mpi'. Defaults to 'none'.

    Returns:
        mmengine.Config: For :class:`mssl_plugins.training.TrainingRun`.

    Raises:
        ConfigError: If a field of the config or an override is wrong.
        UserError: If the config lacks what an argument needs.
        FileNotFoundError: If the data or the checkpoint does not exist.
        ValueError: If there is no such config.
    """
    path = find(config)
    cfg = read(path)
    for key in ('model', 'train_cfg', 'train_dataloader', 'optim_wrapper'):
        if cfg.get(key) is None:
            raise ConfigError(key, f'is missing: {path} describes no training without it')
    if 'type' not in cfg.model:
        raise ConfigError('model.type', 'is missing: it names the method')
    if not {'batch_size', 'batch_sampler'} & set(cfg.train_dataloader):
        raise ConfigError('train_dataloader.batch_size', 'is missing: images a process and step')
    if not validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        drop_evaluation(cfg)
    cfg.launcher = launcher
    cfg.work_dir = _own_work_dir(cfg, path) if work_dir is None else work_dir
    resume, load_from = (p and os.path.expanduser(p) for p in (resume, load_from))
    for given in (resume, load_from):  # before the images are looked at, which takes a while
        if given not in (None, 'auto') and _absent(given):
            raise FileNotFoundError(f'no such checkpoint: {given}')
    _check_options(cfg, options or {})
    _name_start(cfg, path, load_from)
    survey = _use_data(cfg, path, data, wishes, resume is not None)
    if allow_missing:
        _allow_missing_segments(cfg, path)
    if amp:
        _use_bfloat16(cfg)
    if compile:
        _compile(cfg)
    if auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise UserError(
                f'--auto-scale-lr needs auto_scale_lr = dict(base_batch_size=...) in {path}'
            )
        cfg.auto_scale_lr.enable = True
    if seed is not None:
        cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    if options:
        before = copy.deepcopy(cfg)
        cfg.merge_from_dict(options)
        check_config(cfg)
        if first_process():
            left = recipes.left_behind(before, cfg, wishes.processes)
            _warn(f'--cfg-options {line}' for line in left)
    if data is not None:
        batch = cfg.train_dataloader.batch_size * wishes.processes
        first_does('counts', lambda: preflight.check_counts(survey, batch) if survey else None)
    if cfg.get('default_scope') in ('mmdet', 'mmseg'):
        first_does('classes', lambda: _warn(check_classes(cfg)))
    _find_start(cfg, resume)
    _complete(cfg, launcher, pin_memory, persistent_workers)
    # The runner copies the config into the work dir.  Under another name, so
    # that `mim`, which looks for a config by file name in the whole tree,
    # still finds one.
    cfg.setdefault('experiment_name', path.stem)
    return Config(cfg.to_dict(), cfg_text=cfg.text, filename=str(path.with_name('config.py')))


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        print(f'warning: {line}', file=sys.stderr, flush=True)


def drop_evaluation(cfg: Config) -> None:
    """Removes the hooks that evaluate while training."""
    cfg.custom_hooks = [
        hook for hook in cfg.get('custom_hooks') or [] if hook['type'] not in EVALUATION_HOOKS
    ]
    for key, hook in list((cfg.get('default_hooks') or {}).items()):
        if hook and hook['type'] in EVALUATION_HOOKS:
            cfg.default_hooks.pop(key)


def _use_data(
    cfg: Config, path: Path, data: Optional[str], wishes: Wishes, resume: bool
) -> Optional[preflight.Survey]:
    """Puts in the user's images and what they asked of the recipe."""
    if not 0 <= wishes.max_bad <= 1:
        raise UserError(f'--max-bad {wishes.max_bad}: must lie in [0, 1]')
    if wishes.min_size < 0:
        raise UserError(f'--min-size {wishes.min_size}: must be 0 or more')
    if wishes.channels is None and wishes.bits != 8:
        raise UserError(f'--bits {wishes.bits}: goes with --channels N')
    if wishes.channels is not None:
        if data is None or 'num_classes' in (cfg.model.get('head') or {}):
            raise UserError('--channels: goes with pre-training on your own images (--data)')
        try:
            check_channels(wishes.channels, wishes.bits)
        except ValueError as error:
            raise UserError(f'--channels, --bits: {error}') from None
    if data is None:
        if photos.is_photo_recipe(cfg):
            raise UserError(f'{path.stem} is for your own images: name their folder with --data')
        if wishes.segments:
            raise UserError(
                "--segments goes with --data; of a config's own data it is the "
                '`segments` of mssl_plugins.LoadSegments'
            )
        for line in photos.apply_wishes(cfg, wishes):
            print(line, flush=True)
    elif 'num_classes' in (cfg.model.get('head') or {}):  # a probe or fine-tuning
        use_data(cfg, data)
        photos.apply_wishes(cfg, wishes)
    else:
        return photos.use_folder(
            cfg,
            data,
            wishes,
            resume,
            lambda line: first_process() and print(line, flush=True),
        )
    return None


def _allow_missing_segments(cfg: Config, path: Path) -> None:
    loading = [
        node for node in each_dict(cfg._cfg_dict) if node.get('type') == 'mssl_plugins.LoadSegments'
    ]
    beside = [node for node in each_dict(cfg._cfg_dict) if node.get('segments') is True]
    if not loading + beside:
        raise UserError(f'--allow-missing: {path} loads no segments')
    for node in beside:  # of shards
        node['segments'] = 'some'
    for node in loading:
        node['allow_missing'] = True


def _use_bfloat16(cfg: Config) -> None:
    ours = 'mssl_plugins.BF16OptimWrapper'
    if cfg.optim_wrapper.get('type', 'OptimWrapper') in ('OptimWrapper', 'AmpOptimWrapper'):
        cfg.optim_wrapper.type = ours
        for key in ('loss_scale', 'dtype', 'use_fsdp'):
            cfg.optim_wrapper.pop(key, None)
    if cfg.optim_wrapper.get('type') == ours:
        cfg.optim_wrapper.insist = True  # also where the processor only emulates it


def _compile(cfg: Config) -> None:
    ours = 'mssl_plugins.CompileHook'
    hooks = cfg.get('custom_hooks') or []
    if not any(hook['type'] == ours for hook in hooks):
        cfg.custom_hooks = [*hooks, dict(type=ours)]


def _check_options(cfg: Config, options: dict) -> None:
    """Refuses overrides of settings that do not exist."""
    allowed = {*cfg, *settings()}
    for key in options:
        name = key.split('.')[0]
        if name not in allowed:
            raise ConfigError(key, f'is no setting of this config{nearest(name, allowed)}')


def _name_start(cfg: Config, path: Path, load_from: Optional[str]) -> None:
    """Weights to start from; of phase 2 of mask-guided training the network that it distills."""
    teacher = cfg.model.get('teacher')
    distills = isinstance(teacher, dict) and 'checkpoint' in teacher
    if load_from is None:
        if distills and photos.is_photo_recipe(cfg):
            raise UserError(
                f'{path.stem} distills a network of phase 1: name its checkpoint with --from'
            )
    elif distills:
        teacher.checkpoint = os.path.abspath(load_from)
    else:
        cfg.load_from = load_from


def _find_start(cfg: Config, resume: Optional[str]) -> None:
    """Sets what the run starts from: its own checkpoint, given weights, or nothing."""
    if resume is not None:
        last = last_checkpoint(cfg.work_dir) if resume == 'auto' else resume
        if last is not None:  # else a first start, from the config's weights if it has any
            cfg.resume, cfg.load_from = True, last
    source = cfg.get('load_from')
    if source and _absent(source):
        raise ConfigError('load_from', 'no such checkpoint', source)


def _complete(cfg: Config, launcher: str, pin_memory: bool, persistent_workers: bool) -> None:
    """Adapts loaders, optimizer, checkpoints and the data-parallel wrapper to this machine."""
    on_gpu = torch.cuda.is_available()
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(name)
        if loader is None:
            continue
        if cfg.get('default_scope') not in ('mmdet', 'mmseg'):  # images of many sizes
            loader.setdefault('collate_fn', dict(type='default_collate'))
        loader.setdefault('pin_memory', True)
        loader.setdefault('persistent_workers', True)
        loader.pin_memory &= on_gpu and pin_memory
        loader.persistent_workers &= loader.get('num_workers', 0) > 0 and persistent_workers
    optimizer = cfg.optim_wrapper.get('optimizer') or {}
    new = digit_version(torch.__version__) >= digit_version('2.5')  # before it on GPUs alone
    if new and optimizer.get('type') in FUSED and 'foreach' not in optimizer:
        optimizer.setdefault('fused', True)
    hooks = cfg.get('default_hooks') or {}
    for name in [name for name, hook in hooks.items() if hook is None and name not in HOOKS]:
        hooks.pop(name)  # MMEngine takes None for its own default hooks alone
    saving = hooks.get('checkpoint')
    if saving and saving.get('type') == 'CheckpointHook':
        saving.type = 'mssl_plugins.AtomicCheckpointHook'
    if launcher != 'none' and not on_gpu:
        cfg.setdefault(
            'model_wrapper_cfg',
            dict(
                type='mssl_plugins.CPUDistributedDataParallel',
                broadcast_buffers=False,
                find_unused_parameters=cfg.get('find_unused_parameters', False),
            ),
        )
