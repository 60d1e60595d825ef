"""Fits a recipe to another length, batch, learning rate or image size.

Each function changes a config in place and returns lines that say what changed,
for the log.  Whatever a recipe counts in epochs is scaled with its length; the
learning rate is scaled with the batch (linear rule, Goyal et al., arXiv
1706.02677); crops, position embeddings and decoders follow the image size.
"""

import copy
import math
import re
from typing import Dict, Iterator, List

import numpy as np
from mmengine.config import Config

from mssl_plugins.config import each_dict, each_hook
from mssl_plugins.config_check import MOST_STEPS
from mssl_plugins.errors import UserError

# Hooks whose `interval` says how often to look, not what to train.
SCHEDULED_HOOKS = ('mssl_plugins.ScheduleHook', 'mssl_plugins.FreezeHook')
VIEWS = ('mssl_plugins.Views', 'mssl_plugins.MaskCoViews')


# -------------------------------------------------------------------- length
def set_epochs(cfg, epochs: int) -> List[str]:
    """Trains for another number of epochs, every schedule squeezed or stretched.

    Warm-up, cosine, milestones, momentum, temperature, weight decay and
    freezing keep their fraction of the training.  A warm-up in iterations
    keeps its length, unless it would take more than a tenth of the training.

    Args:
        cfg (mmengine.Config): With ``train_cfg.max_epochs``.
        epochs (int): 1 or more.

    Returns:
        list[str]: What changed.

    Raises:
        UserError: If it is less than 1, or the config counts iterations.
    """
    planned = cfg.train_cfg.get('max_epochs')
    if planned is None:
        raise UserError(
            '--epochs: this config counts iterations '
            '(train_cfg.max_iters); use --cfg-options train_cfg.max_iters=N'
        )
    if not 1 <= epochs <= MOST_STEPS:
        raise UserError(f'--epochs {epochs}: must be 1 or more, at most {MOST_STEPS:,}')
    if epochs == planned:
        return []
    ratio = epochs / planned
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in [schedulers] if isinstance(schedulers, dict) else schedulers:
        if not scheduler.get('by_epoch', True):
            continue
        for key in ('begin', 'end', 'T_max', 'total_iters'):
            if key in scheduler:
                scheduler[key] = max(int(key != 'begin'), round(scheduler[key] * ratio))
        if 'milestones' in scheduler:
            scheduler['milestones'] = [max(1, round(m * ratio)) for m in scheduler['milestones']]
    for hook in each_hook(cfg):
        if hook.get('type') in SCHEDULED_HOOKS:
            for part in hook.get('schedules', [hook]):
                if part.get('by_epoch', True):
                    for key in ('begin', 'length'):
                        if part.get(key):
                            part[key] = part[key] * ratio
                    if hook['type'] == 'mssl_plugins.FreezeHook':
                        part.setdefault('length', ratio)  # the hook's own default is 1 epoch
    cfg.train_cfg['max_epochs'] = epochs
    _end_of_cosine(cfg, epochs)
    return [
        f'{epochs} epochs instead of {planned}: warm-up, cosine, momentum, temperatures and '
        'freezing keep their fraction of the training'
    ]


def _end_of_cosine(cfg, epochs: int) -> None:
    """Lets a cosine after a warm-up end exactly at the end of training."""
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in [schedulers] if isinstance(schedulers, dict) else schedulers:
        if scheduler.get('by_epoch', True) and 'T_max' in scheduler:
            begin = min(scheduler.get('begin', 0), epochs - 1)
            if 'begin' in scheduler:
                scheduler['begin'] = begin
            if 'end' in scheduler:
                scheduler['end'] = epochs
            scheduler['T_max'] = epochs - begin


# ------------------------------------------------------------- batch and rate
def set_batch(cfg, batch: int, processes: int = 1) -> List[str]:
    """Trains with another batch in each process; the learning rate is scaled with it.

    Args:
        cfg (mmengine.Config): Its learning rate is for
            ``auto_scale_lr.base_batch_size`` images, or for its own batch if
            that is not set.
        batch (int): Images in a step and process.
        processes (int): Number of processes. Defaults to 1.

    Returns:
        list[str]: What changed.

    Raises:
        UserError: If the batch is less than 2.
    """
    if batch < 2:
        raise UserError(f'--batch-size {batch}: must be 2 or more')
    base = (cfg.get('auto_scale_lr') or {}).get('base_batch_size') or cfg.train_dataloader[
        'batch_size'
    ] * processes
    optimizer, total = cfg.optim_wrapper['optimizer'], batch * processes
    before = optimizer['lr']
    _scale_rate(cfg, total / base)
    cfg.train_dataloader['batch_size'] = batch
    cfg.auto_scale_lr = dict(base_batch_size=total, enable=False)
    if total == base:
        return []
    return [
        f'batch {total}'
        + (f' ({batch} a process)' if processes > 1 else '')
        + f': learning rate {before:.4g} for {base} -> {optimizer["lr"]:.4g} (linear rule)'
    ]


def _scale_rate(cfg, factor: float) -> None:
    """Scales the optimizer's learning rate, and the constant one of SimSiam's predictor."""
    cfg.optim_wrapper['optimizer']['lr'] *= factor
    for hook in each_hook(cfg):
        if hook.get('type') == 'mmpretrain.SimSiamHook':
            hook['lr'] *= factor


def set_lr(cfg, lr: float, processes: int = 1) -> List[str]:
    """Trains with this learning rate, whatever the batch.

    Args:
        cfg (mmengine.Config): The config; changed in place.
        lr (float): Learning rate for its batch.
        processes (int): Number of processes. Defaults to 1.

    Returns:
        list[str]: What changed.

    Raises:
        UserError: If it is not positive.
    """
    if not lr > 0 or not math.isfinite(lr):
        raise UserError(f'--lr {lr}: must be positive')
    before = cfg.optim_wrapper['optimizer']['lr']
    _scale_rate(cfg, lr / before)
    total = cfg.train_dataloader['batch_size'] * processes
    cfg.auto_scale_lr = dict(base_batch_size=total, enable=False)
    return [f'learning rate {lr:.4g} instead of {before:.4g}']


# ----------------------------------------------------------------------- size
def patch_of(cfg) -> int:
    """Side of a patch in px; 1 for convolutional networks."""
    backbone = cfg.model.get('backbone') or {}
    if 'img_size' not in backbone and 'patch_size' not in backbone:
        return 1
    return int(backbone.get('patch_size', 16))


def image_size(cfg) -> int:
    """Side in px of the largest view that a config trains on.

    Raises:
        UserError: If its pipeline has none of our view transforms.
    """
    sizes = _view_sizes(cfg._cfg_dict)
    if not sizes:
        raise UserError('this config has no mssl_plugins.Views whose size could be told')
    return max(sizes)


def each_view(node) -> Iterator[dict]:
    """The view groups of our view transforms inside a node of a config."""
    for inner in each_dict(node):
        if inner.get('type') in VIEWS:
            yield from inner.get('views', ())


def _view_sizes(node) -> List[int]:
    """Longer side in px of each view inside a node."""
    return [int(np.max(view['size'])) for view in each_view(node)]  # one side, or height and width


def set_size(cfg, size: int) -> List[str]:
    """Trains on views of another size.

    Global views become ``size``, local ones keep their proportion to it (in
    whole patches); test views, the ViT's positions, MAE's decoder and
    MixMask's grid follow.

    Args:
        cfg (mmengine.Config): A pre-training config.
        size (int): Side in px; for a ViT a multiple of its patch.

    Returns:
        list[str]: What changed.

    Raises:
        UserError: If the size is too small or no multiple of the patch, or views are not
            square.
    """
    before, patch = image_size(cfg), patch_of(cfg)
    for view in each_view(cfg._cfg_dict):
        if not isinstance(view['size'], int):
            raise UserError(
                f'--size {size}: is for square views, and this config has some of '
                f'{tuple(view["size"])} px; set their height and width in the config'
            )
    if size < 32:
        raise UserError(f'--size {size}: must be 32 px or more')
    if size % patch:
        near = sorted({max(patch, size // patch * patch), -(-size // patch) * patch})
        raise UserError(
            f'--size {size}: the network has patches of {patch} px, so '
            f'{" or ".join(map(str, near))}'
        )
    if size == before:
        return []
    ratio = size / before

    def scaled(side: int) -> int:
        return size if side == before else max(patch, round(side * ratio / patch) * patch)

    for view in each_view(cfg._cfg_dict):
        view['size'] = scaled(view['size'])
    for node in each_dict(cfg._cfg_dict):
        if node.get('type') == 'mssl_plugins.CenterView':
            if node.get('resize'):
                node['resize'] = max(size, round(node['resize'] * size / node['size']))
            node['size'] = size
        elif node.get('type') == 'mssl_plugins.MixMask' and 'grid' in node:
            node['grid'] = 8 if size >= 160 else 4  # 8 at 224 px in the paper; below, our choice
        elif node.get('type') == 'mssl_plugins.MAEDecoder':
            node['num_patches'] = (size // patch) ** 2
    if 'img_size' in (cfg.model.get('backbone') or {}):
        cfg.model['backbone']['img_size'] = size
    return [f'views of {size} px instead of {before}']


# -------------------------------------------------------------- what stays behind
def left_behind(before, after, processes: int = 1) -> List[str]:
    """Finds fields that depend on an overridden setting but were not changed with it.

    Args:
        before (mmengine.Config): Without the overrides.
        after (mmengine.Config): With them.
        processes (int): Number of processes. Defaults to 1.

    Returns:
        list[str]: One line for each such setting: the fields that were left as they
        were, and the option that changes them along with it.
    """
    scales = (
        ('train_cfg.max_epochs', '--epochs', set_epochs),
        ('train_dataloader.batch_size', '--batch-size', lambda c, n: set_batch(c, n, processes)),
        ('optim_wrapper.optimizer.lr', '--lr', lambda c, n: set_lr(c, n, processes)),
        ('views.size', '--size', set_size),
    )
    old, new, said = _fields(before), _fields(after), []
    for key, option, scale in scales:
        given, planned = new.get(key), old.get(key)
        if given == planned or None in (given, planned):
            continue
        if option == '--batch-size' and new.get('auto_scale_lr.enable'):
            continue  # MMEngine scales the rate itself
        wanted = copy.deepcopy(before)
        try:
            scale(wanted, given)
        except UserError:
            continue  # a length, batch, rate or size that no recipe could have
        stale = [
            field
            for field, value in _fields(wanted).items()
            if value != old.get(field) == new.get(field) and not field.startswith('auto_scale_lr')
        ]
        if stale:
            more = f' and {len(stale) - 4} more' if len(stale) > 4 else ''
            what = f'views of {given} px' if option == '--size' else f'{key}={given}'
            said.append(
                f'{what} leaves behind what was made for {planned}: '
                f'{", ".join(stale[:4])}{more}; {option} {given} moves it along'
            )
    return said


#: settings that a run needs as they were, to go on as if it had not been stopped
NEEDED = re.compile(
    r'train_cfg\.max_|train_dataloader\.(batch_size$|.*\bpipeline\.)|views\.size$|'
    r'(model|param_scheduler|optim_wrapper\.optimizer)\.(?!.*\b(fused|foreach)$)'
)
DETAILS = re.compile('^model|^param|pipeline')  # named last


def changed(before: dict, after, most: int = 4) -> str:
    """Which settings of a run that goes on are not those that it was started with.

    Args:
        before (dict): The config that it was started with, or parts of it.
        after (mmengine.Config): The config that it goes on with.
        most (int): How many to name. Defaults to 4.

    Returns:
        str: Their names, each with both values; '' if there are none. Paths and other
        names are not compared.
    """
    parts = {key: value for key, value in after.items() if key in before}
    old, new = _fields(Config(before)), _fields(Config(parts))
    found = [
        f'{key} {old.get(key)} -> {new.get(key)}'
        for key in sorted(old | new, key=lambda key: (bool(DETAILS.search(key)), key))
        if NEEDED.match(key)
        and old.get(key) != new.get(key)
        and (key.endswith('.type') or not isinstance(new.get(key, old.get(key)), str))
    ]
    more = f' and {len(found) - most} more' if len(found) > most else ''
    return ', '.join(found[:most]) + more


def _fields(cfg) -> Dict[str, object]:
    """Every value of a config by its dotted key, and 'views.size', the largest view's side."""
    found: Dict[str, object] = {}

    def walk(node, key: str) -> None:
        inner = node.items() if isinstance(node, dict) else enumerate(node)
        for name, value in inner:
            path = f'{key}{name}'
            if isinstance(value, (dict, list, tuple)):
                walk(value, f'{path}.')
            else:
                found[path] = value

    walk(cfg._cfg_dict.to_dict(), '')
    found['views.size'] = max(_view_sizes(cfg.get('train_dataloader')), default=None)
    return found
