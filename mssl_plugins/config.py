"""Configs: read by path or name, walked, their data replaced."""
from typing import Iterator, Optional

from mssl_plugins.catalogue import find


def each_dict(node) -> Iterator[dict]:
    """Every dict inside a config, the outer ones first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from each_dict(value)


def first_part(dataset: dict) -> dict:
    """A dataset's config, of joined sets (``ConcatDataset``) the first one's."""
    return dataset['datasets'][0] if 'datasets' in dataset else dataset


def knn_hook(cfg) -> Optional[dict]:
    """A config's hook that measures k-NN while training; None if it has none.

    Args:
        cfg (mmengine.Config): The hook may be one of its ``custom_hooks`` or
            ``default_hooks``.
    """
    hooks = [*(cfg.get('custom_hooks') or ()), *(cfg.get('default_hooks') or {}).values()]
    return next((h for h in hooks if h and str(h.get('type')).split('.')[-1] == 'KNNHook'), None)


def read_config(config: str):
    """A config by path or shipped name, its default scope set.

    Args:
        config (str): Path, or name as of ``python -m mssl_plugins list``.

    Returns:
        mmengine.Config: With a ``model``.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it has no model.
    """
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    path = find(config)
    cfg = Config.fromfile(str(path))
    if 'model' not in cfg:
        raise ValueError(f'{path} has no `model`')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    return cfg
