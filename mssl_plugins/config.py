"""Configs: reading them by path or name, walking them, finding the data they name."""

import copy
import traceback
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mssl_plugins.catalogue import find, root
from mssl_plugins.config_check import check_config
from mssl_plugins.errors import ConfigError, message, nearest

_STOCK_PATH, _STOCK_TEXT = Config._get_cfg_path, Config.pretty_text
_TEXTS: Dict[str, str] = {}  # the text of the config that was asked for last


def _base_path(given: str, filename: str) -> Tuple[str, Optional[str]]:
    """Where a ``_base_`` of a config is, and the scope that it is of, if another's.

    ``mssl_plugins::photos/mocov2_resnet18_photos.py`` is a shipped config, in a
    checkout as in an installed package, of which MMEngine knows only its own
    projects'.

    Raises:
        ConfigError: If there is no such shipped config.
    """
    package, _, name = given.partition('::')
    if package != 'mssl_plugins':
        return _STOCK_PATH(given, filename)
    path = root() / 'configs' / name
    if not path.is_file():
        folder = root() / 'configs'
        every = [file.relative_to(folder).as_posix() for file in folder.rglob('*.py')]
        raise ConfigError('_base_', f'no such shipped config{nearest(name, every)}', given)
    return str(path), None


def _text(cfg: Config) -> str:
    """A config's text, laid out by yapf in a tenth of a second or more.

    A run asks for it five times as it starts, and at every checkpoint.
    """
    key = f'{cfg._format_python_code} {cfg.to_dict()!r}'
    text = _TEXTS.get(key)
    if text is None:
        text = _STOCK_TEXT.fget(cfg)
        _TEXTS.clear()
        _TEXTS[key] = text
    return text


Config._get_cfg_path = staticmethod(_base_path)
Config.pretty_text = property(_text)


def each_dict(node) -> Iterator[dict]:
    """Every dict inside a config, the outer ones first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from each_dict(value)


def without_pretrained(model: dict) -> dict:
    """A model's config without the fields that make MMEngine load weights.

    These are ``init_cfg=dict(type='Pretrained')`` and ``pretrained``.

    Args:
        model (dict): A model's config; not changed.

    Returns:
        dict: A copy without them, at any depth.
    """
    model = copy.deepcopy(model)
    for node in each_dict(model):
        given = node.get('init_cfg')
        if isinstance(given, (list, tuple)):
            node['init_cfg'] = [init for init in given if not _reads_weights(init)]
        elif _reads_weights(given):
            node['init_cfg'] = None
        if isinstance(node.get('pretrained'), str):
            node['pretrained'] = None
    return model


def _reads_weights(init) -> bool:
    kind = init.get('type') if isinstance(init, dict) else None
    name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
    return name.rsplit('.', 1)[-1].startswith('Pretrained')


def each_hook(cfg) -> Iterator[dict]:
    """Every hook that a config adds or changes, custom ones first."""
    for hook in [*(cfg.get('custom_hooks') or ()), *(cfg.get('default_hooks') or {}).values()]:
        if hook:
            yield hook


def first_part(dataset: dict) -> dict:
    """A dataset's config; for concatenated datasets (``ConcatDataset``) that of the first."""
    return dataset['datasets'][0] if 'datasets' in dataset else dataset


def knn_hook(cfg) -> Optional[dict]:
    """A config's hook that measures k-NN while training; None if it has none.

    Args:
        cfg (mmengine.Config): The hook may be one of its ``custom_hooks`` or
            ``default_hooks``.

    Returns:
        dict, optional: The hook's own dict, not a copy.
    """
    return next((h for h in each_hook(cfg) if str(h.get('type')).split('.')[-1] == 'KNNHook'), None)


def read(path: Path) -> Config:
    """The config in a file, read and checked.

    Raises:
        ConfigError: With the file and the line that cannot be read, or the
            field that is wrong.
    """
    try:
        cfg = Config.fromfile(str(path))
    except Exception as error:
        file, line = str(path), getattr(error, 'lineno', None)
        for frame, number in traceback.walk_tb(error.__traceback__):
            file = str(frame.f_locals.get('filename', file))
            if frame.f_code.co_filename == file:  # a config's own code
                line = number
        where = f'{file}, line {line}' if line else file
        raise ConfigError('', f'{where}: {type(error).__name__}: {message(error)}') from error
    check_config(cfg)
    return cfg


def read_config(config: str) -> Config:
    """A config by path or shipped name, its default scope set.

    Args:
        config (str): Path, or name as of ``python -m mssl_plugins list``.

    Returns:
        mmengine.Config: With a ``model``.

    Raises:
        ValueError: If there is none, or it has no model.
    """
    path = find(config)
    cfg = read(path)
    if 'model' not in cfg:
        raise ValueError(f'{path} has no `model`')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    return cfg


def find_set(cfg, split: str, pipeline: Optional[List[dict]] = None) -> dict:
    """The loader config of one image set that a config's KNNHook names.

    Args:
        cfg (mmengine.Config): The config with the hook.
        split (str): 'train' (the hook's bank) or 'test'.
        pipeline (List[dict], optional): Instead of the hook's test transform.
            Defaults to None.

    Returns:
        dict: With ``dataset``.

    Raises:
        ValueError: If the config names no data.
    """
    hook = knn_hook(cfg)
    if hook is None:
        raise ValueError(
            'the config has no KNNHook that names data: give a folder of images (--data DIR)'
        )
    loader = dict(hook['bank' if split == 'train' else 'test'])
    if 'dataset' not in loader:
        loader = dict(dataset=loader)
    if pipeline is not None:
        loader['dataset'] = dict(loader['dataset'], pipeline=pipeline)
    return loader
