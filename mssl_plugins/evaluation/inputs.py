"""Model and data from the command line of an evaluation."""

import os
from pathlib import Path
from typing import Dict, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.dist import all_reduce, init_dist
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mssl_plugins.checkpoints.architecture import model_in
from mssl_plugins.checkpoints.loading import (
    load_backbone,
    load_checkpoint_safely,
    safe_loading,
)
from mssl_plugins.checkpoints.reader import default_branch
from mssl_plugins.config import each_dict, find_set, knn_hook, read_config, without_pretrained
from mssl_plugins.datasets.inspection import set_at
from mssl_plugins.distributed import open_process_group
from mssl_plugins.evaluation.backbone import FrozenBackbone, Pixels, initialize
from mssl_plugins.evaluation.data import (
    EvaluationData,
    center_view,
    input_size,
    middle_image,
)
from mssl_plugins.evaluation.features import extract_features, make_loader
from mssl_plugins.models.readout import image_channels
from mssl_plugins.registry import DATASETS, TRANSFORMS

RANDOM, PIXELS = 'random', 'pixels'
SETS = dict(bank='train', test='test')
# Classes of MMPretrain that a checkpoint's own config may name for its data.
OF_MMPRETRAIN = ('CIFAR10', 'CIFAR100', 'ResizeEdge', 'CenterCrop', 'PackInputs')


def build_model(
    cfg, checkpoint: str, branch: Optional[str] = None, seed: int = 0
) -> Tuple[nn.Module, str]:
    """The model of a config with a checkpoint's weights in its backbone.

    Args:
        cfg (mmengine.Config): See :func:`mssl_plugins.config.read_config`.
        checkpoint (str): A file; 'random' for random weights; 'pixels' for no
            network at all, the raw-pixel baseline.
        branch (str, optional): Which backbone of the checkpoint, 'student'
            or 'teacher'. Defaults to None, see
            :func:`mssl_plugins.checkpoints.reader.default_branch`.
        seed (int): Seed of random weights. Defaults to 0.

    Returns:
        tuple[nn.Module, str]: The model, whose ``backbone`` is measured, and a
        line that says what was loaded.

    Raises:
        FileNotFoundError, ValueError: See
            :func:`mssl_plugins.checkpoints.loading.load_backbone`.
    """
    if checkpoint not in (RANDOM, PIXELS) and not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f"no such checkpoint: {checkpoint} (or give '{RANDOM}' or '{PIXELS}')"
        )
    spec = without_pretrained(cfg.model)
    if cfg.get('data_preprocessor'):
        spec.setdefault('data_preprocessor', cfg.data_preprocessor)
    torch.manual_seed(seed)
    model = MODELS.build(spec)
    if checkpoint == PIXELS:
        pixels = Pixels.of_config(cfg)
        pixels.img_size = native_size(model)  # seen as by the config's network
        return pixels, 'raw pixels'
    if checkpoint == RANDOM:
        if hasattr(model, 'init_weights'):
            initialize(model)
        return model, 'random weights'
    if branch is None:
        branch = default_branch(load_checkpoint_safely(checkpoint), type(model).__name__)
    report = load_backbone(getattr(model, 'backbone', model), checkpoint, branch)
    return model, f'{branch} backbone, {report}'


def native_size(model: nn.Module) -> Optional[int]:
    """Side in px that a model's backbone was made for; None if it takes any size."""
    size = getattr(getattr(model, 'backbone', model), 'img_size', None)
    return size[0] if isinstance(size, (tuple, list)) else size


def find_model(args) -> Tuple[nn.Module, str, Optional[Config]]:
    """The model that a command line names, and the config that names its data.

    With ``--config`` it is the config's model; otherwise the backbone that the
    checkpoint describes.

    Args:
        args (argparse.Namespace): Of ``knn`` or ``extract``.

    Returns:
        tuple[nn.Module, str, mmengine.Config | None]: The model, a line that
        says what was loaded, and the config; None if the data is given and
        no config is needed.

    Raises:
        FileNotFoundError, ValueError: See :func:`build_model` and
            :class:`mssl_plugins.evaluation.backbone.FrozenBackbone`.
    """
    if args.config is not None:
        cfg = read_config(args.config)
        return (*build_model(cfg, args.checkpoint, args.branch, args.seed), cfg)
    if args.checkpoint in (RANDOM, PIXELS):
        raise ValueError(f"'{args.checkpoint}' needs --config: whose network and data?")
    found = FrozenBackbone(args.checkpoint, args.branch)
    text = found.source.get('config')
    cfg = own_data(text) if text and args.data is None else None
    kind = found.config['type'].split('.')[-1]
    return found.model, f'{found.source["branch"]} backbone, {kind}', cfg


def own_data(text: str) -> Config:
    """The data of the KNNHook of the config in a checkpoint.

    A checkpoint may come from a stranger, and a ``type`` can name any class that
    can be imported. Only the datasets and transforms that our configs use are
    allowed.

    Args:
        text (str): The config; it is not run.

    Returns:
        mmengine.Config: With the hook alone, or without one.

    Raises:
        ValueError: If the text cannot be read, or names another type.
    """
    hook = knn_hook(model_in(text, ('custom_hooks', 'default_hooks')))
    if hook is None:
        return Config()
    kept = dict(type='mssl_plugins.KNNHook')
    for part in ('bank', 'test'):
        loader = hook[part] if 'dataset' in hook[part] else dict(dataset=hook[part])
        kept[part] = {k: loader[k] for k in ('dataset', 'batch_size', 'num_workers') if k in loader}
    allowed = {f'mmpretrain.{name}' for name in OF_MMPRETRAIN}
    for registry in (DATASETS, TRANSFORMS):
        registry.import_from_location()
        allowed.update(f'{registry.scope}.{name}' for name in registry.module_dict)
    for node in each_dict([kept['bank'], kept['test']]):
        if node.get('type', 'mssl_plugins.Views') not in allowed:
            raise ValueError(
                f"the checkpoint's own config names a {node['type']} for its data, which is "
                'taken only from a config that you name with --config (or give --data)'
            )
    return Config(dict(custom_hooks=[kept]))


def find_images(args, cfg: Optional[Config], model: nn.Module) -> Dict[str, DataLoader]:
    """The bank and the queries of k-NN that a command line names.

    Args:
        args (argparse.Namespace): ``data``, labeled images as for
            :class:`mssl_plugins.evaluation.data.EvaluationData`, with its
            transform; without ``data``, the config's images under its test
            transform, or under that of ``size`` and ``resize``.
        cfg (mmengine.Config, optional): From :func:`find_model`.
        model (nn.Module): From :func:`find_model`.

    Returns:
        dict[str, DataLoader]: 'bank' and 'test'.

    Raises:
        FileNotFoundError, ValueError: If there are no such images, or the two
            sets' classes differ.
    """
    if args.data is not None:
        data = EvaluationData(
            args.data, Path('.'), args.size, args.resize, native_size(model), seed=args.seed
        )
        found = {name: dict(dataset=data.center(split)) for name, split in SETS.items()}
    else:
        found = {name: own_set(args, cfg, split) for name, split in SETS.items()}
    return build_data(found, args.batch_size, args.workers)


def own_set(args, cfg: Optional[Config], split: str) -> dict:
    """The loader config of the data that a config names; see :func:`find_images`.

    Raises:
        ValueError: If no data is named, or ``resize`` is given without ``size``.
    """
    if cfg is None:
        raise ValueError('the checkpoint holds no config that names data: give --data DIR')
    if args.resize is not None and args.size is None:
        raise ValueError('--resize needs --size or --data')
    view = None if args.size is None else center_view(args.size, args.resize)
    return find_set(cfg, split, view)


def image_set(
    images,
    model: nn.Module,
    size: Optional[int] = None,
    resize: Optional[int] = None,
    max_bad: float = 0.01,
) -> dict:
    """The loader config of any images, under the transform of an evaluation.

    Args:
        images (str | os.PathLike | Sequence): A folder, a shard or a folder of
            shards, or a list as for
            :class:`mssl_plugins.datasets.given.GivenImages`.
        model (nn.Module): The model; its own input size is the default.
        size (int, optional): See
            :func:`mssl_plugins.evaluation.data.input_size`. Defaults to None.
        resize (int, optional): See
            :func:`mssl_plugins.evaluation.data.input_size`. Defaults to None.
        max_bad (float): Largest fraction of a folder's files that may be
            unreadable. Defaults to 0.01.

    Returns:
        dict: With ``dataset``, built.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there is no image in it.
        TypeError: If an item of a list is no image.
    """
    if isinstance(images, (str, os.PathLike)):
        if not Path(images).expanduser().exists():
            raise FileNotFoundError(f'no such folder: {images}')
        spec = dict(set_at(os.fspath(images), **channels_of(model)), max_bad=max_bad)
        if spec['type'].endswith('ImageFolder'):
            spec['data_root'] = os.fspath(images)
    else:
        spec = dict(type='mssl_plugins.GivenImages', images=images, **channels_of(model))
    image = middle_image(DATASETS.build(dict(spec, pipeline=[])))
    sides = input_size(image, size, resize, native_size(model))
    return dict(dataset=DATASETS.build(dict(spec, pipeline=center_view(*sides))))


def channels_of(model: nn.Module) -> dict:
    """Channels and bits of the images that a model was trained on; {} for 8-bit RGB.

    The first layer tells the channels, the preprocessor their bits; where it is an older
    checkpoint's, a mean or standard deviation above 255 tells that they are 16.
    """
    channels = image_channels(getattr(model, 'backbone', model))
    images = getattr(model, 'data_preprocessor', None)
    values = [float(getattr(images, name, torch.zeros(1)).max()) for name in ('mean', 'std')]
    bits = 16 if max(values) > 255 else getattr(images, 'bits', 8)
    return {} if (channels, bits) == (3, 8) else dict(channels=channels, bits=bits)


def readable(dataset) -> Tensor:
    """Indices of the samples that could be read.

    The others do not count: a set replaces an image that it cannot decode by another one.

    Args:
        dataset (Dataset): All processes together have read all of its samples.

    Returns:
        Tensor: (n,) int64, ascending.
    """
    if not hasattr(dataset, 'unreadable'):
        return torch.arange(len(dataset))
    bad = dataset.unreadable().long()
    all_reduce(bad)
    return (bad == 0).nonzero()[:, 0]


def build_data(
    found: Dict[str, dict], batch_size: Optional[int] = None, workers: Optional[int] = None
) -> Dict[str, DataLoader]:
    """Builds the loaders of image sets.

    Args:
        found (dict[str, dict]): Loader configs.
        batch_size (int, optional): Images in a batch. Defaults to None: the configs'.
        workers (int, optional): Processes that read images. Defaults to None: the
            configs'.

    Returns:
        dict[str, DataLoader]: With the same keys.

    Raises:
        ValueError: If the sets' classes differ.
    """
    given = dict(batch_size=batch_size, num_workers=workers)
    given = {k: v for k, v in given.items() if v is not None}
    loaders = {k: make_loader(dict(v, **given)) for k, v in found.items()}
    classes = {
        k: (getattr(v.dataset, 'metainfo', None) or {}).get('classes') for k, v in loaders.items()
    }
    bank, test = classes.get('bank'), classes.get('test')
    if bank and test and tuple(bank) != tuple(test):
        only = sorted(set(map(str, bank)) ^ set(map(str, test)))
        raise ValueError(
            f'the bank has {len(bank)} classes, the test set '
            f'{len(test)}; in one of them only: '
            f'{", ".join(only[:5]) or "none, the order differs"}'
        )
    return loaders


def features(args, model: nn.Module, loader: DataLoader, device: str) -> Tuple[Tensor, Tensor]:
    """Frozen features (N, D) float32 and labels (N,) as a command line asks for them."""
    dtype = torch.bfloat16 if args.bf16 else torch.float32
    return extract_features(model, loader, args.pool, device=device, progress=True, dtype=dtype)


def start(args) -> str:
    """Joins the processes of torchrun, if any, and returns the device.

    From here on, reading a checkpoint in this process takes weights only.

    Raises:
        ValueError: If a GPU is asked for and there is none.
    """
    safe_loading()
    dist = torch.distributed
    if int(os.environ.get('WORLD_SIZE', 1)) > 1 and not dist.is_initialized():
        open_process_group('pytorch')
        if not dist.is_initialized():
            init_dist('pytorch')
    device = args.device or ('cuda' if torch.cuda.is_available() else 'cpu')
    if device.startswith('cuda') and not torch.cuda.is_available():
        raise ValueError(f'--device {device}: this machine has no GPU')
    return device
