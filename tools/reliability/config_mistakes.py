"""One field of a shipped config changed, as a mistake would."""

import copy
import random
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Optional, Tuple

from mmengine.config import Config

from mssl_plugins.catalogue import find
from mssl_plugins.config_check import HOOKS, _names
from mssl_plugins.config_tree import nodes, settings
from mssl_plugins.run_config import drop_evaluation

RECIPES = [
    'dino_vit-mini_1xb64-coslr-6e_cifar10',
    'dino-bn_vit-mini_1xb64-coslr-6e_cifar10',
    'mst_vit-mini_1xb64-coslr-6e_cifar10',
    'mst-random_vit-mini_1xb64-coslr-6e_cifar10',
    'mae_vit-mini_1xb64-coslr-12e_cifar10',
    'asl_vit-mini_1xb64-coslr-12e_cifar10',
    'maskco_resnet18_1xb32-coslr-5e_cifar10',
    'moco_resnet18_1xb64-coslr-8e_cifar10',
    'simclr_resnet18_1xb64-coslr-8e_cifar10',
    'byol_resnet18_1xb64-coslr-8e_cifar10',
    'simsiam_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_moco_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_simclr_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_byol_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_simsiam_resnet18_1xb64-coslr-8e_cifar10',
    'mask-guided_dino_vit-mini_1xb64-coslr-6e_scenes',
    'mask-guided_mae_vit-mini_1xb64-coslr-12e_cifar10',
]
# Not changed: what a run needs to be a case at all, and what no run reads.
FIXED = {'catalogue', 'custom_imports', 'work_dir', 'launcher'}
OTHERS = ['text', '', 3.7, 5, True, [1], [], dict(a=1)]
SCOPES = ('mssl_plugins', 'mmpretrain', 'mmengine', 'mmdet', 'mmseg')
ILL_TYPED = ('other type', 'none', 'text for number', 'list for scalar', 'inside itself')
KINDS = [
    'misspelt key',
    'misspelt type',
    'other class',
    'other scope',
    'removed key',
    'negative',
    'zero',
    'huge',
    'nan',
    *ILL_TYPED,
]


class Case(NamedTuple):
    """One change of a config: dotted path, kind of change, and what was put there."""

    recipe: str
    path: str
    kind: str
    value: Any


def recipe(name: str, images: Path) -> dict:
    """A shipped config on a few images, as plain Python."""
    cfg = Config.fromfile(str(find(name)))
    drop_evaluation(cfg)
    loader = cfg.train_dataloader
    loader.update(batch_size=8, num_workers=0, persistent_workers=False)
    views = [part for part in loader.dataset.pipeline if 'LoadSegments' not in part['type']]
    if 'guided' in name:
        loader.dataset = dict(
            type='mssl_plugins.Scenes', length=16, size=32, segments=True, pipeline=views
        )
    else:
        loader.dataset = dict(
            type='mssl_plugins.ImageFolder', data_root=str(images), pipeline=views
        )
    cfg.train_cfg.max_epochs = 2
    plain = cfg.to_dict()
    return {key: plain[key] for key in plain if key in settings()}


def fields(node: Any, path: Tuple = ()) -> Iterator[Tuple]:
    """Paths of everything in a config, as keys and indices."""
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, (list, tuple))
        else ()
    )
    for key, value in items:
        if path or key not in FIXED:
            yield (*path, key)
            yield from fields(value, (*path, key))


def misspelt(word: str, rng: random.Random) -> str:
    """A word with one letter left out, doubled, or swapped with the next."""
    start = word.rfind('.') + 1
    at = rng.randrange(start, len(word) - 1)
    turned = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    shorter = word[:at] + word[at + 1 :]
    return rng.choice(
        [shorter, word[:at] + word[at] + word[at:], turned if turned != word else shorter]
    )


def changed_type(old: str, kind: str, path: str, cfg: dict, rng: random.Random) -> Optional[str]:
    """Another name of a class in the place of one."""
    if kind == 'misspelt type':
        return misspelt(old, rng)
    if kind == 'other scope':
        return f'{rng.choice([s for s in SCOPES if not old.startswith(s)])}.{old.split(".")[-1]}'
    node = next(node for node in nodes(cfg) if f'{node.path}.type' == path)
    if node.registry is None:
        return None
    return rng.choice(_names(node.registry, node.scope, '.' in old) or [None])


def changed_value(old: Any, key: str, kind: str, rng: random.Random) -> Any:
    """Another value in the place of one; the old one where the kind does not fit it."""
    number = isinstance(old, (int, float)) and not isinstance(old, bool)
    if kind in ('negative', 'zero', 'huge', 'nan', 'text for number') and number:
        return {
            'negative': -abs(old) or -1,
            'zero': type(old)(0),
            'huge': type(old)(10**9),
            'nan': float('nan'),
            'text for number': str(old),
        }[kind]
    if kind == 'none':
        return None
    if kind == 'inside itself':
        return {key: copy.deepcopy(old)}
    if kind == 'list for scalar' and isinstance(old, (int, float, str, bool)):
        return [old]
    if kind == 'other type':
        return rng.choice(
            [
                other
                for other in OTHERS
                if type(other) is not type(old)
                and not (number and isinstance(other, (int, float)))
                and not (isinstance(old, tuple) and isinstance(other, list))
            ]
        )
    return old


def mutate(plain: dict, name: str, rng: random.Random) -> Tuple[dict, Case]:
    """A config with one field changed."""
    while True:
        cfg, kind = copy.deepcopy(plain), rng.choice(KINDS)
        path = rng.choice([p for p in fields(cfg) if isinstance(p[-1], str)])
        dotted, key = '.'.join(map(str, path)), path[-1]
        parent = cfg
        for part in path[:-1]:
            parent = parent[part]
        old = parent[key]
        value: Any = None
        if kind == 'misspelt key':
            # hooks of our own may have any name
            if len(key) < 4 or (path[:-1] == ('default_hooks',) and key not in HOOKS):
                continue
            value = misspelt(key, rng)
            if value in parent:
                continue
            parent[value] = parent.pop(key)
        elif kind == 'removed key':
            del parent[key]
        else:
            if kind in ('misspelt type', 'other class', 'other scope'):
                if key != 'type' or not isinstance(old, str):
                    continue
                value = changed_type(old, kind, dotted, cfg, rng)
            else:
                value = changed_value(old, key, kind, rng)
            if value == old and type(value) is type(old):
                continue
            parent[key] = value
        return cfg, Case(name, dotted, kind, value)
