"""The images that a command line names, each with the key of its segments."""

import os
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

from mssl_plugins.config import find_set, read_config
from mssl_plugins.datasets.image_io import input_image
from mssl_plugins.datasets.inspection import set_at
from mssl_plugins.datasets.shards import is_shard
from mssl_plugins.registry import DATASETS
from mssl_plugins.segments.store import names_of


class Image(NamedTuple):
    """An image of a dataset: its key, the dataset and the index in it."""

    key: str
    dataset: object
    index: int


def _leaves(dataset) -> list:
    """The datasets that a concatenated or repeated one is made of."""
    inner = getattr(dataset, 'datasets', None)
    if inner is None and hasattr(dataset, 'dataset'):
        inner = [dataset.dataset]
    return [dataset] if inner is None else [leaf for d in inner for leaf in _leaves(d)]


def _bare(cfg: dict) -> dict:
    """A dataset's config, and those nested in it, without transforms."""
    cfg = dict(cfg)
    for key in ('dataset', 'datasets'):
        if isinstance(cfg.get(key), dict):
            return dict(cfg, **{key: _bare(cfg[key])})
        if cfg.get(key) is not None:
            return dict(cfg, **{key: [_bare(inner) for inner in cfg[key]]})
    cfg['pipeline'] = []
    if str(cfg.get('type')).endswith('PackedImages'):
        cfg['cache'] = False
    return cfg


def _root(dataset) -> str:
    """The folder that a dataset's image paths are relative to."""
    first = dataset.get_data_info(0)
    if 'packed_at' in first:
        return os.path.dirname(dataset.ann_file)
    root = getattr(dataset, 'img_prefix', None) or ''
    return root if str(first.get('img_path', '')).startswith(root) else ''


def find_images(data: str, split: str = 'train') -> List[Image]:
    """All images that a command line names, each once.

    Args:
        data (str): A folder of images; a shard or a folder of shards; packed images (.npz) of
            ``mssl_plugins.PackedImages``; or a config, by path or shipped
            name, whose images are then taken.
        split (str): For a config, 'train' (the training images) or 'test' (the
            queries of its KNNHook). Defaults to 'train'.

    Returns:
        list[Image]: In the order of the dataset.

    Raises:
        FileNotFoundError: If there is no such folder, file or config.
        ValueError: If there is no image in it.
    """
    if os.path.isdir(data) or is_shard(data) and os.path.isfile(data):
        cfg = dict(set_at(data), labels=False)
        if cfg['type'].endswith('ImageFolder'):
            cfg['data_root'] = data
    elif data.endswith('.npz'):
        cfg = dict(type='mssl_plugins.PackedImages', ann_file=data)
    else:
        config = read_config(data)
        if split == 'train' and 'train_dataloader' in config:
            cfg = config.train_dataloader.dataset
        else:
            cfg = find_set(config, split)['dataset']
        cfg = getattr(cfg, 'to_dict', lambda: cfg)()
    leaves = _leaves(DATASETS.build(_bare(cfg)))
    roots = [_root(leaf) for leaf in leaves]
    if len(set(roots)) > 1:  # of several folders what they have in common
        absolute = [os.path.abspath(root) for root in roots if root]
        common = os.path.commonpath(absolute)
        roots = [os.path.relpath(common) if root else '' for root in roots]
    images = {}
    for leaf, root in zip(leaves, roots):
        for index, name in enumerate(names_of(leaf)):
            key = (os.path.relpath(name, root) if root else name).replace(os.sep, '/')
            images.setdefault(key, Image(key, leaf, index))
    return list(images.values())


def read_image(image: Image) -> Tuple[Optional[np.ndarray], dict]:
    """Reads an image as (H, W, 3) uint8 RGB (None if unreadable), and its sample."""
    info = image.dataset.get_data_info(image.index)
    if hasattr(image.dataset, 'load'):
        return image.dataset.load(info), info
    try:
        sample = image.dataset[image.index]
        return input_image(sample), sample
    except (ValueError, OSError):
        return None, info
