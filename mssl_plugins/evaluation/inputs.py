"""What the command line of an evaluation names: a model and its data."""
import os
from pathlib import Path
from typing import Dict, Optional, Tuple

import torch
from mmengine.dist import init_dist
from torch import nn

from mssl_plugins.checkpoints.loading import (
    load_backbone,
    load_checkpoint_safely,
    safe_loading,
)
from mssl_plugins.checkpoints.reader import BRANCHES, default_branch
from mssl_plugins.config import without_pretrained
from mssl_plugins.distributed import open_process_group
from mssl_plugins.evaluation.backbone import Pixels
from mssl_plugins.evaluation.features import make_loader

RANDOM, PIXELS = 'random', 'pixels'


def build_model(cfg,
                checkpoint: str,
                branch: Optional[str] = None,
                seed: int = 0) -> Tuple[nn.Module, str]:
    """The model of a config with a checkpoint's weights in its backbone.

    Args:
        cfg (mmengine.Config): See :func:`mssl_plugins.config.read_config`.
        checkpoint (str): A file; 'random' for random weights; 'pixels' for no
            network at all, the raw-pixel baseline.
        branch (str, optional): Which backbone of the checkpoint, 'student'
            or 'teacher'. Defaults to None, see
            :func:`mssl_plugins.checkpoints.reader.default_branch`.
        seed (int): Of random weights. Defaults to 0.

    Returns:
        tuple[nn.Module, str]: The model, whose ``backbone`` is to be measured,
        and a line on what was loaded.

    Raises:
        FileNotFoundError, ValueError: See
            :func:`mssl_plugins.checkpoints.loading.load_backbone`.
    """
    from mmengine.registry import MODELS
    if checkpoint == PIXELS:
        return Pixels.of_config(cfg), 'raw pixels'
    if checkpoint != RANDOM and not Path(checkpoint).is_file():
        raise FileNotFoundError(f"no such checkpoint: {checkpoint} (or give "
                                f"'{RANDOM}' or '{PIXELS}')")
    spec = without_pretrained(cfg.model)
    if cfg.get('data_preprocessor'):
        spec.setdefault('data_preprocessor', cfg.data_preprocessor)
    torch.manual_seed(seed)
    model = MODELS.build(spec)
    if checkpoint == RANDOM:
        if hasattr(model, 'init_weights'):
            model.init_weights()
        return model, 'random weights'
    if branch is None:
        branch = default_branch(load_checkpoint_safely(checkpoint), type(model).__name__)
    report = load_backbone(
        getattr(model, 'backbone', model), checkpoint, branch)
    return model, f'{branch} backbone, {report}'


def build_data(found: Dict[str, dict],
               batch_size: Optional[int] = None,
               workers: Optional[int] = None) -> dict:
    """Loaders of what :func:`mssl_plugins.config.find_data` found.

    Args:
        found (dict[str, dict]): Loader configs.
        batch_size (int, optional): Instead of the configs'.
        workers (int, optional): Instead of the configs'.

    Returns:
        dict[str, DataLoader]: With the same keys.

    Raises:
        ValueError: If the sets' classes differ.
    """
    given = dict(batch_size=batch_size, num_workers=workers)
    given = {k: v for k, v in given.items() if v is not None}
    loaders = {k: make_loader(dict(v, **given)) for k, v in found.items()}
    classes = {
        k: (getattr(v.dataset, 'metainfo', None) or {}).get('classes')
        for k, v in loaders.items()
    }
    bank, test = classes.get('bank'), classes.get('test')
    if bank and test and tuple(bank) != tuple(test):
        only = sorted(set(map(str, bank)) ^ set(map(str, test)))
        raise ValueError(f'the bank has {len(bank)} classes, the test set '
                         f'{len(test)}; in one of them only: '
                         f'{", ".join(only[:5]) or "none, the order differs"}')
    return loaders


def add_arguments(parser) -> None:
    """The arguments that tools on frozen features share."""
    parser.add_argument('config', help='path of a config, or the name of a '
                        'shipped one (see `python -m mssl_plugins list`)')
    parser.add_argument(
        'checkpoint', help="a checkpoint of that config's backbone, or "
        "'random' for random weights, or 'pixels' for raw pixels")
    parser.add_argument('--branch', choices=BRANCHES,
                        help='which backbone of the checkpoint; default: the '
                        'teacher of DINO and MST, else the student')
    parser.add_argument('--pool', default='auto',
                        choices=['auto', 'cls', 'avg', 'last'],
                        help='class token, average, or the output as it is; '
                        'auto: the class token where there is one')
    parser.add_argument('--size', type=int, metavar='PX',
                        help="side of the centre view; default: the config's "
                        'test transform')
    parser.add_argument('--resize', type=int, metavar='PX',
                        help='short side before the centre is cut')
    parser.add_argument('--batch-size', type=int, metavar='N')
    parser.add_argument('--workers', type=int, metavar='N',
                        help='processes that read images')
    parser.add_argument('--device', help='default: cuda if there is one')
    parser.add_argument('--bf16', action='store_true',
                        help='run the network in bfloat16')
    parser.add_argument('--seed', type=int, default=0,
                        help='of random weights')


def start(args) -> str:
    """Joins the processes of torchrun, if any, and gives the device.

    From here on nothing in this process reads more than weights.
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
