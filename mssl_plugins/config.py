"""Configs: read by path or name, walked, and the data that they name."""
import copy
from pathlib import Path
from typing import Dict, Iterator, Optional

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mssl_plugins.catalogue import find


def each_dict(node) -> Iterator[dict]:
    """Every dict inside a config, the outer ones first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from each_dict(value)


def without_pretrained(model: dict) -> dict:
    """A model's config that names no file of weights for MMEngine to read.

    ``init_cfg=dict(type='Pretrained')`` and ``pretrained`` would put weights
    in by themselves, whatever was asked for.

    Args:
        model (dict): Left as it is.

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
    """A dataset's config, of concatenated sets (``ConcatDataset``) the first one's."""
    return dataset['datasets'][0] if 'datasets' in dataset else dataset


def knn_hook(cfg) -> Optional[dict]:
    """A config's hook that measures k-NN while training; None if it has none.

    Args:
        cfg (mmengine.Config): The hook may be one of its ``custom_hooks`` or
            ``default_hooks``.
    """
    return next((h for h in each_hook(cfg) if str(h.get('type')).split('.')[-1] == 'KNNHook'), None)


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
    cfg = Config.fromfile(str(path))
    if 'model' not in cfg:
        raise ValueError(f'{path} has no `model`')
    init_default_scope(cfg.get('default_scope', 'mmpretrain'))
    return cfg


def find_set(cfg,
             split: str,
             folder: Optional[str] = None,
             size: Optional[int] = None,
             resize: Optional[int] = None) -> dict:
    """Loader config of one set of images under the test transform.

    Args:
        cfg (mmengine.Config): Its KNNHook names data and test transform.
        split (str): 'train' (the hook's bank) or 'test'.
        folder (str, optional): A folder of images instead of the config's
            data. Defaults to None.
        size (int, optional): Side of the centre view in px, instead of the
            config's test transform. Defaults to None.
        resize (int, optional): Short side before the cut. Defaults to None:
            ``size``.

    Returns:
        dict: With ``dataset``.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If the config names no data, or no test transform.
    """
    hook = knn_hook(cfg)
    if hook is None and folder is None:
        raise ValueError('the config has no KNNHook that names data: give '
                         'a folder of images (--data DIR)')
    loader = dict(hook['bank' if split == 'train' else 'test']) if hook else {}
    if 'dataset' not in loader:
        loader = dict(dataset=loader)
    dataset = dict(loader['dataset'])
    if size is not None:
        dataset['pipeline'] = [
            dict(type='mssl_plugins.CenterView', size=size, resize=resize),
            dict(type='mssl_plugins.PackViews')
        ]
    elif resize is not None:
        raise ValueError('--resize needs --size')
    if folder is not None:
        if not Path(folder).is_dir():
            raise FileNotFoundError(f'no such folder: {folder}')
        if 'pipeline' not in dataset:
            raise ValueError('the config has no KNNHook whose test transform '
                             'could be taken: give --size')
        dataset = dict(
            type='mssl_plugins.ImageFolder',
            data_root=str(folder),
            pipeline=dataset['pipeline'])
    return dict(loader, dataset=dataset)


def find_data(cfg, data: Optional[str] = None, **view) -> Dict[str, dict]:
    """Loader configs of the bank and the queries.

    Args:
        cfg (mmengine.Config): See :func:`find_set`.
        data (str, optional): A folder with ``train`` and ``val`` or ``test``,
            one sub-folder a class, instead of the config's data. Defaults to
            None.
        **view: ``size`` and ``resize`` of :func:`find_set`.

    Returns:
        dict[str, dict]: 'bank' and 'test'.
    """
    return {
        name: find_set(cfg, split, data and _part(data, *parts), **view)
        for name, split, parts in (('bank', 'train', ['train']),
                                   ('test', 'test', ['val', 'test']))
    }


def _part(data: str, *names: str) -> str:
    for name in names:
        if (Path(data) / name).is_dir():
            return str(Path(data) / name)
    raise FileNotFoundError(f'no folder {" or ".join(names)} in {data}')
