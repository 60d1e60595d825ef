"""The dicts of a config that something is built from, each with its dotted path."""

import inspect
from typing import Any, Iterator, List, NamedTuple, Optional

from mmengine import registry as mm
from mmengine.runner import Runner

# Settings that MMEngine reads besides the arguments of its Runner, or that we read.
FURTHER_SETTINGS = {
    'model_wrapper_cfg',
    'sync_bn',
    'find_unused_parameters',
    'activation_checkpointing',
    'work_dir',
    'compile',
    'custom_imports',
    'catalogue',
    'runner_type',
}
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
LOOPS = ('train_cfg', 'val_cfg', 'test_cfg')
# What is built from the dict under a key; other keys as the dict around them.
KINDS = dict(
    model=mm.MODELS,
    data_preprocessor=mm.MODELS,
    dataset=mm.DATASETS,
    pipeline=mm.TRANSFORMS,
    sampler=mm.DATA_SAMPLERS,
    batch_sampler=mm.DATA_SAMPLERS,
    collate_fn=mm.FUNCTIONS,
    optim_wrapper=mm.OPTIM_WRAPPERS,
    optimizer=mm.OPTIMIZERS,
    param_scheduler=mm.PARAM_SCHEDULERS,
    default_hooks=mm.HOOKS,
    custom_hooks=mm.HOOKS,
    val_evaluator=mm.METRICS,
    test_evaluator=mm.METRICS,
    visualizer=mm.VISUALIZERS,
    vis_backends=mm.VISBACKENDS,
    log_processor=mm.LOG_PROCESSORS,
    model_wrapper_cfg=mm.MODEL_WRAPPERS,
    init_cfg=mm.WEIGHT_INITIALIZERS,
    **dict.fromkeys(LOOPS, mm.LOOPS),
)
# Where these stand without a type, MMEngine takes one.
DEFAULTS = dict(
    optim_wrapper='OptimWrapper',
    val_cfg='ValLoop',
    test_cfg='TestLoop',
    visualizer='Visualizer',
    log_processor='LogProcessor',
)
ALWAYS = {'type', '_scope_'}


class TypeName(str):
    """The ``type`` of a config's dict, a string that knows the dict's path.

    It stays in the copies that MMEngine builds from, so that an error can name
    the dict.

    Attributes:
        path (str): Dotted path of the dict.
    """

    path = ''

    def __deepcopy__(self, memo: dict) -> 'TypeName':
        return self


class Node(NamedTuple):
    """A dict of a config.

    Attributes:
        path (str): Dotted, as in ``--cfg-options``; '' for the config itself.
        value (dict): The dict.
        registry (Registry, optional): The registry that builds something from it.
        scope (str, optional): The scope in which its type is looked for.
    """

    path: str
    value: dict
    registry: Optional[mm.Registry]
    scope: Optional[str]

    @property
    def keys(self) -> List[str]:
        """The keys of the path, without indices of lists."""
        return [part for part in self.path.split('.') if not part.isdigit()]

    @property
    def type(self) -> Any:
        """The type that is built: the node's own, or the default; None if nothing is built."""
        if self.path == 'train_cfg' and 'type' not in self.value and 'by_epoch' in self.value:
            return f'{"Epoch" if self.value["by_epoch"] else "Iter"}BasedTrainLoop'
        return self.value.get('type', DEFAULTS.get(self.path))


def settings() -> set:
    """Names that have a meaning at the top of a config."""
    return set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | FURTHER_SETTINGS


def nodes(cfg: dict) -> Iterator[Node]:
    """The dicts below the settings of a config, the outer ones first."""
    scope = cfg.get('default_scope')
    for key in sorted(settings() & set(cfg) - {'catalogue'}):
        yield from _walk(key, cfg[key], KINDS.get(key), scope)


def _walk(
    path: str, value: Any, registry: Optional[mm.Registry], scope: Optional[str]
) -> Iterator[Node]:
    if isinstance(value, dict):
        scope = value.get('_scope_', scope)
        yield Node(path, value, registry, scope)
        for key, inner in value.items():
            kind = registry if path == 'default_hooks' else KINDS.get(key, registry)
            yield from _walk(f'{path}.{key}', inner, kind, scope)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from _walk(f'{path}.{index}', inner, registry, scope)


def mark(cfg: dict) -> None:
    """Turns every type in a config into a :class:`TypeName`, which knows its path."""
    for node in nodes(cfg):
        if isinstance(node.value.get('type'), str):
            node.value['type'] = TypeName(node.value['type'])
            node.value['type'].path = node.path
