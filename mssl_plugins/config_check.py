"""Mistakes in a config, found before anything is built from it.

Every dict that MMEngine's runner builds something from is held against the
class that its ``type`` names: is there one, does it take these arguments, are
they of the types that its signature states?  A library's hints are read
generously (:func:`mssl_plugins.signatures.nearly_fits`), our own strictly.
"""

import difflib
import inspect
import logging
import typing
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Callable, List, Optional

from mmengine import registry as mm
from mmengine.runner import Runner
from torch.distributed import init_process_group
from torch.utils.data import DataLoader

from mssl_plugins.config_tree import ALWAYS, KINDS, LOADERS, Node, nodes, settings
from mssl_plugins.errors import EXTRAS, ConfigError, nearest, require
from mssl_plugins.signatures import (
    arguments,
    constructors,
    fits,
    hints_of,
    is_list,
    is_nan,
    kind_of,
    nearly_fits,
    parameters,
    said,
)

SETTING_TYPES = dict(
    train_dataloader=dict,
    train_cfg=dict,
    optim_wrapper=dict,
    default_hooks=dict,
    custom_hooks=Optional[list],
    randomness=dict,
    env_cfg=dict,
    sync_bn=Optional[str],
    model_wrapper_cfg=Optional[dict],
    find_unused_parameters=bool,
    compile=typing.Union[bool, dict],
    default_scope=Optional[str],
    work_dir=Optional[str],
    log_level=typing.Union[int, str],
    auto_scale_lr=Optional[dict],
    param_scheduler=typing.Union[list, dict, None],
    **dict.fromkeys(
        ('val_dataloader', 'test_dataloader', 'val_cfg', 'test_cfg', 'visualizer'), Optional[dict]
    ),
)
# Keys whose dicts are surely built from a registry, besides those of KINDS.
BUILT = ('backbone', 'neck', 'head', 'loss', 'criterion', 'mixing')
# Keys under which a dict, or each dict of a list, has to name what is built.
TYPED = (
    *BUILT,
    *('norm_cfg', 'act_cfg', 'conv_cfg'),
    *('dataset', 'sampler', 'collate_fn', 'pipeline'),
    'optimizer',
    'param_scheduler',
    'custom_hooks',
    'vis_backends',
)
# Default hooks that MMEngine adds under these names where a config does not.
HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
# Arguments that a builder takes before the class sees them.
TAKEN = {
    mm.HOOKS.name: {'priority'},
    mm.PARAM_SCHEDULERS.name: {'convert_to_iter_based'},
    mm.OPTIM_WRAPPERS.name: {'optimizer', 'constructor', 'paramwise_cfg'},
    mm.MODELS.name: {'requires_grad', 'init_cfg'},
    mm.LOOPS.name: {'by_epoch'},
}
# What the arguments of torch's loader may be; its signature says nothing.
LOADER_TYPES = dict(
    batch_size=Optional[int],
    num_workers=int,
    pin_memory=bool,
    persistent_workers=bool,
    drop_last=bool,
    shuffle=Optional[bool],
    prefetch_factor=Optional[int],
    timeout=float,
    dataset=dict,
    sampler=dict,
    batch_sampler=Optional[dict],
    collate_fn=typing.Union[dict, Callable],
    num_batch_per_epoch=Optional[int],
)
# Dicts that nothing is built from, with their keys and the types of these.
PLAIN = {
    'env_cfg': dict(cudnn_benchmark=bool, mp_cfg=dict, dist_cfg=dict, resource_limit=int),
    'env_cfg.mp_cfg': dict(
        mp_start_method=typing.Literal['fork', 'spawn', 'forkserver'], opencv_num_threads=int
    ),
    'env_cfg.dist_cfg': dict(
        dict.fromkeys(inspect.signature(init_process_group).parameters, Any),
        backend=str,
        init_backend=str,
        port=Optional[int],
        timeout=Optional[float],
    ),
    'randomness': dict(seed=Optional[int], diff_rank_seed=bool, deterministic=bool),
    'auto_scale_lr': dict(enable=bool, base_batch_size=int),
    'custom_imports': dict(imports=typing.Union[str, list], allow_failed_imports=bool),
}
CUSTOM_KEYS = 'optim_wrapper.paramwise_cfg.custom_keys'
# As PLAIN, but other keys than these may be meant for others.
OPEN = {
    'optim_wrapper.paramwise_cfg': dict(
        custom_keys=dict,
        bypass_duplicate=bool,
        layer_decay_rate=float,
        **dict.fromkeys(
            (
                'bias_lr_mult',
                'bias_decay_mult',
                'norm_decay_mult',
                'dwconv_decay_mult',
                'flat_decay_mult',
                'dcn_offset_lr_mult',
            ),
            Optional[float],
        ),
    ),
    CUSTOM_KEYS: dict(lr_mult=float, decay_mult=float),
}
MOST_WORKERS, MOST_STEPS = 1024, 10**9


def check_config(cfg: dict) -> None:
    """Refuses a config with unknown fields, types, arguments or values.

    Args:
        cfg (mmengine.Config): As read, with what the user changed.

    Raises:
        ConfigError: With the dotted path of the first field that is wrong.
    """
    names = settings()
    for key in cfg:
        if key not in names and (
            difflib.get_close_matches(key, names, n=1, cutoff=0.85)
            or any(sorted(key) == sorted(name) for name in names)  # letters swapped
        ):
            raise ConfigError(key, f'is no setting of a run{nearest(key, names)}')
    _check_scope(cfg.get('default_scope'))
    hints = {**hints_of(Runner.__init__), **SETTING_TYPES}
    for key in names & set(hints) & set(cfg) - {'launcher'}:
        _check_type(key, cfg[key], hints[key], strict=True)
    _check_level(cfg.get('log_level', 'INFO'))
    for key in cfg.get('default_hooks') or ():
        if key not in HOOKS and difflib.get_close_matches(key, HOOKS, n=1, cutoff=0.8):
            raise ConfigError(f'default_hooks.{key}', f'is no default hook{nearest(key, HOOKS)}')
    if cfg.get('custom_hooks'):
        _check_dicts('custom_hooks', cfg['custom_hooks'])
    for node in nodes(cfg):
        _check_node(node)
    for key in ('max_epochs', 'max_iters'):
        length = (cfg.get('train_cfg') or {}).get(key)
        if isinstance(length, (int, float)) and not 0 <= length <= MOST_STEPS:
            raise ConfigError(f'train_cfg.{key}', f'must lie in [0, {MOST_STEPS:,}]', length)


def _check_scope(scope: Any) -> None:
    if not isinstance(scope, str):
        return
    if scope in EXTRAS:
        require(scope)
        if scope == 'mmdet':
            from mssl_plugins.mmpretrain_models import with_mmdet

            with_mmdet()
    elif find_spec(scope.split('.')[0]) is None and scope not in mm.MODELS.children:
        known = {*EXTRAS, *mm.MODELS.children}
        raise ConfigError(
            'default_scope', f'no package of that name is installed{nearest(scope, known)}', scope
        )


def _check_level(level: Any) -> None:
    if isinstance(level, str) and not isinstance(logging.getLevelName(level), int):
        names = ('DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL')
        raise ConfigError(
            'log_level', f'must be one of {", ".join(names)}{nearest(level, names)}', level
        )


def _check_node(node: Node) -> None:
    _check_type_key(node)
    for key, value in node.value.items():
        path = f'{node.path}.{key}'
        if is_nan(value):
            raise ConfigError(path, 'is no number', value)
        if node.path == 'default_hooks':
            _check_type(path, value, Optional[dict], strict=True)
        if key == 'pipeline':
            _check_dicts(path, value)
    if node.path == CUSTOM_KEYS:
        for key, value in node.value.items():
            _check_type(f'{node.path}.{key}', value, dict, strict=True)
    elif node.path in LOADERS or (
        node.registry is mm.HOOKS and node.keys[-1] in ('bank', 'test') and 'dataset' in node.value
    ):
        _check_loader(node)
    elif node.path in PLAIN:
        _check_fields(node, PLAIN[node.path], node.path)
    elif node.path in OPEN or node.path.startswith(f'{CUSTOM_KEYS}.'):
        known = OPEN.get(node.path, OPEN[CUSTOM_KEYS])
        _check_fields(node, known, node.path, strict=False)
        for key, value in node.value.items() if node.path not in OPEN else ():
            if isinstance(value, dict):
                raise ConfigError(f'{node.path}.{key}', 'must be a number', value)
    elif node.type is not None or 'type' in node.value:
        built = resolve(node)
        if callable(built):
            _check_call(node, built, str(node.type))
    elif (
        node.keys[-1] in TYPED or node.path == 'train_cfg' or node.keys[:-1] == ['default_hooks']
    ) and not (
        node.path == 'default_hooks.param_scheduler'
        and 'type' in node.value
        # phase 2's teacher has the types of the student's parts
        or node.path in ('model.teacher.backbone', 'model.teacher.head')
    ):
        raise ConfigError(
            f'{node.path}.type',
            'is missing: it names what is built from '
            f'{", ".join(map(str, node.value)) or "an empty dict"}',
        )
    if node.path == 'optim_wrapper' and 'constructor' not in node.value:
        for key, hint in (('paramwise_cfg', Optional[dict]), ('optimizer', dict)):
            _check_type(f'{node.path}.{key}', node.value.get(key), hint, strict=True)


def _check_dicts(path: str, value: Any) -> None:
    """Refuses anything but a list that holds nothing but dicts."""
    _check_type(path, value, list, strict=True)
    for index, item in enumerate(value):
        _check_type(f'{path}.{index}', item, dict, strict=True)


def _check_fields(node: Node, hints: dict, what: str, strict: bool = True) -> None:
    """Checks names and types of a dict's fields; ``strict=False``: of the known ones only."""
    _check_names(node, set(hints) | ALWAYS, strict, what)
    for key in set(hints) & set(node.value):
        _check_type(f'{node.path}.{key}', node.value[key], hints[key], strict=True)


def _check_loader(node: Node) -> None:
    allowed = set(inspect.signature(DataLoader.__init__).parameters) - {'self'}
    _check_fields(node, {**dict.fromkeys(allowed, Any), **LOADER_TYPES}, 'a data loader')
    workers, batch = node.value.get('num_workers', 0), node.value.get('batch_size')
    if not 0 <= workers <= MOST_WORKERS:
        raise ConfigError(f'{node.path}.num_workers', f'must lie in [0, {MOST_WORKERS}]', workers)
    if batch is not None and batch < 1:
        raise ConfigError(f'{node.path}.batch_size', 'must be 1 or more', batch)


def resolve(node: Node) -> Optional[Callable]:
    """The class that a dict's type names; None where no registry has to know it.

    Raises:
        ConfigError: If the registry that builds it does not know it.
    """
    name, registry = node.type, node.registry
    if callable(name):
        return name
    if not isinstance(name, str):
        if registry is None:
            return None
        raise ConfigError(f'{node.path}.type', 'must be the name of a class', name)
    found = _find(name, registry, node.scope)
    if found is not None or registry is None:
        return found
    surely = node.keys[-1] in {*KINDS, *BUILT} or node.keys[:-1] == ['default_hooks']
    # elsewhere a class may understand names of its own, of which none is nearly ours
    near = difflib.get_close_matches(
        name, _names(registry, node.scope, '.' in name), n=1, cutoff=0.6 if surely else 0.85
    )
    if not surely and not near:
        return None
    hint = f"; did you mean '{near[0]}'?" if near else ''
    raise ConfigError(f'{node.path}.type', f'is no registered {registry.name}{hint}', name)


@lru_cache(maxsize=None)
def _find(name: str, registry: Optional[mm.Registry], scope: Optional[str]) -> Optional[Callable]:
    if registry is None:
        return None
    with suppress(ImportError):
        import_module(f'{scope}.registry')
    for candidate in (registry, mm.MODELS, mm.TRANSFORMS, mm.TASK_UTILS, mm.EVALUATOR):
        try:
            # MMEngine would warn of a scope that is none of the registry's children.
            with candidate.switch_scope_and_registry(
                scope if scope in candidate.children else None
            ) as inner:
                found = inner.get(name)
        except ImportError:
            continue
        if found is not None:
            return found
    return None


def _names(registry: mm.Registry, scope: Optional[str], dotted: bool) -> List[str]:
    """The names that a registry would find, with scope if ``dotted``."""
    known = {}
    for child in [registry, *registry.children.values()]:
        try:
            child.import_from_location()
        except ImportError:
            continue
        known[child.scope] = set(child.module_dict)
    if dotted:
        return sorted(f'{place}.{name}' for place, names in known.items() for name in names)
    return sorted(set().union(*(known.get(place, ()) for place in ('mmengine', scope))))


def _check_call(node: Node, built: Callable, what: str) -> None:
    allowed, strict = arguments(built)
    taken = TAKEN.get(node.registry.name, set()) if node.registry else set()
    _check_names(node, allowed | taken | ALWAYS, strict, what)
    for function in constructors(built):
        _check_types(node, function)
    for key, part in getattr(built, 'config_parts', {}).items():
        given = node.value.get(key)
        several = is_list(given)
        for index, inner in enumerate(given if several else [given]):
            if isinstance(inner, dict):
                path = f'{node.path}.{key}' + (f'.{index}' if several else '')
                _check_part(Node(path, inner, None, None), part, f'{key} of {what}')


def _check_part(node: Node, part: Any, what: str) -> None:
    """Checks a dict argument that its class interprets itself.

    A class says so in ``config_parts``, by its own argument: the other class,
    or a dict of type hints.
    """
    if isinstance(part, dict):
        _check_fields(node, part, what)
        return
    _check_call(node, part, what)
    for p in parameters(part):
        if p.default is p.empty and p.name not in node.value and p.kind is not p.VAR_KEYWORD:
            raise ConfigError(f'{node.path}.{p.name}', f'is missing: every {what} needs it')


def _check_type_key(node: Node) -> None:
    if node.registry is None or 'type' in node.value:
        return
    for key, value in node.value.items():
        if isinstance(value, str) and difflib.get_close_matches(str(key), ['type'], cutoff=0.7):
            raise ConfigError(f'{node.path}.{key}', "did you mean 'type'?", value)


def _check_names(node: Node, allowed: set, strict: bool, what: str) -> None:
    for key in node.value:
        if key in allowed or not isinstance(key, str):
            continue
        shown = sorted(allowed - ALWAYS - {'self'})
        if strict or difflib.get_close_matches(key, shown, n=1, cutoff=0.8):
            raise ConfigError(
                f'{node.path}.{key}',
                f'is no argument of {what}: allowed are {", ".join(shown)}{nearest(key, shown)}',
            )


def _check_types(node: Node, function: Callable) -> None:
    hints, defaults = hints_of(function), {p.name: p.default for p in parameters(function)}
    ours = function.__module__.split('.')[0] == __name__.split('.')[0]
    for key, value in node.value.items():
        if key not in defaults:
            continue
        default, hint = defaults[key], hints.get(key)
        if key not in hints and kind_of(default) == 'number' and isinstance(value, dict):
            hint = type(default)
        elif key not in hints or isinstance(hint, str):
            continue
        elif default is None:
            hint = Optional[hint]
        if type(value) is not type(default) or value != default:
            _check_type(f'{node.path}.{key}', value, hint, strict=ours)


def _check_type(path: str, value: Any, hint: Any, strict: bool) -> None:
    if not (fits if strict else nearly_fits)(value, hint):
        raise ConfigError(path, f'must be {said(hint)}', value)
