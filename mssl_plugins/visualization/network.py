"""The frozen backbones of a figure, from its command line."""

import argparse
from pathlib import Path
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mssl_plugins.datasets.given import GivenImages
from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.datasets.transforms.geometry import resize
from mssl_plugins.datasets.transforms.views import CenterView
from mssl_plugins.errors import UserError
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import center_view, input_size, middle_image
from mssl_plugins.evaluation.dense_features import input_stride
from mssl_plugins.evaluation.features import extract_features
from mssl_plugins.evaluation.inputs import RANDOM
from mssl_plugins.evaluation.patch_maps import patch_maps
from mssl_plugins.visualization import MAP_SIZE
from mssl_plugins.visualization.canvas import distinct_names


class FrozenNetwork(NamedTuple):
    """A frozen backbone whose features are shown.

    Attributes:
        name (str): Its name in titles.
        model (nn.Module): With ``backbone`` and ``data_preprocessor``.
        patch (int): The sides of its input are multiples of this many px: the
            patch of a ViT, 32 px for a ResNet.
        size (int): Short side of its input in px.
        native (int, optional): The input size that a ViT was made for.
    """

    name: str
    model: nn.Module
    patch: int
    size: int
    native: Optional[int]


def networks_of(args: argparse.Namespace) -> List[FrozenNetwork]:
    """The one or two networks that the command line names.

    Raises:
        FileNotFoundError, ValueError: See
            :class:`mssl_plugins.evaluation.backbone.FrozenBackbone`.
        UserError: If a size is smaller than a patch, or the numbers of names and
            checkpoints differ.
    """
    files = [(args.checkpoint, args.config)]
    if args.compare:
        other = args.compare_config
        if other is None and args.compare == RANDOM:
            other = args.config
        files.append((args.compare, other))
    elif args.compare_config:
        raise UserError('--compare-config is of a second checkpoint: give it by --compare')
    if args.names and len(args.names) != len(files):
        raise UserError(f'--names: {len(args.names)} for {len(files)} checkpoint(s)')
    names = args.names or distinct_names([file for file, _ in files])
    return [
        load_frozen(*pair, branch=args.branch, name=name, size=args.size)
        for pair, name in zip(files, names)
    ]


def load_frozen(
    checkpoint: str,
    config: Optional[str] = None,
    branch: Optional[str] = None,
    name: str = '',
    size: Optional[int] = None,
) -> FrozenNetwork:
    """Loads a frozen backbone for a figure.

    Args:
        checkpoint (str): See :class:`mssl_plugins.evaluation.backbone.FrozenBackbone`.
        config (str, optional): See there. Defaults to None.
        branch (str, optional): See there. Defaults to None.
        name (str): Name in titles. Defaults to ''.
        size (int, optional): Short side of the input in px. Defaults to None: the
            network's own.

    Returns:
        FrozenNetwork: On a GPU if there is one.

    Raises:
        FileNotFoundError, ValueError: See there; also for a backbone without a map.
        UserError: If the size is smaller than a patch.
    """
    found = FrozenBackbone(checkpoint, branch, config)
    patch = input_stride(found.model.backbone)
    size = size or found.native or MAP_SIZE
    if size < patch:
        raise UserError(f'--size {size} is less than a patch of {patch} px')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    return FrozenNetwork(name, found.model.to(device), patch, size, found.native)


def cut(image: np.ndarray, size: int, patch: int) -> Tuple[np.ndarray, Tuple[int, int]]:
    """The center of an image that whole patches cover if the short side is ``size``.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        size (int): Short side of the network's input in px.
        patch (int): Side of a patch in px, at most ``size``.

    Returns:
        Tuple[np.ndarray, Tuple[int, int]]: That part of the image, at its
        own resolution, and the height and width that the network sees it in,
        multiples of ``patch``.
    """
    scale = size / min(image.shape[:2])
    seen = tuple(round(side * scale) // patch * patch for side in image.shape[:2])
    h, w = (min(round(part / scale), side) for part, side in zip(seen, image.shape))
    top, left = (image.shape[0] - h) // 2, (image.shape[1] - w) // 2
    return image[top : top + h, left : left + w], seen


def fit(image: np.ndarray, size: int, patch: int) -> np.ndarray:
    """The image cropped by :func:`cut`, at the size of the network's input."""
    return resize(*cut(image, size, patch), 'bilinear')


def maps_of(network: FrozenNetwork, images: Sequence[np.ndarray]) -> List[Tensor]:
    """(h, w, D) patch features of each image, (H, W, 3) uint8 RGB of any size."""
    found = []
    for image in images:
        seen = fit(image, network.size, network.patch)
        x = torch.from_numpy(seen.copy()).permute(2, 0, 1)
        found.append(patch_maps(network.model, [x])[0])
    return found


def patch_at(
    image: np.ndarray, network: FrozenNetwork, grid: Tuple[int, int], x: int, y: int
) -> Tuple[int, int]:
    """Row and column of the patch that a pixel of an image lies in.

    Args:
        image (np.ndarray): (H, W, 3) uint8 RGB, whole.
        network (FrozenNetwork): The network.
        grid (tuple[int, int]): (h, w) patches of its input.
        x (int): Column of the pixel in the image.
        y (int): Row of the pixel in the image.

    Returns:
        tuple[int, int]: Row and column in the grid.

    Raises:
        UserError: If the pixel is outside of the network's input.
    """
    shown = cut(image, network.size, network.patch)[0]
    ends = []
    for name, at, whole, seen, cells in (
        ('y', y, image.shape[0], shown.shape[0], grid[0]),
        ('x', x, image.shape[1], shown.shape[1], grid[1]),
    ):
        begin = (whole - seen) // 2
        if not begin <= at < begin + seen:
            raise UserError(
                f'{name} = {at} px: the image has {whole}, of which the network sees '
                f'{begin} to {begin + seen - 1}'
            )
        ends.append((at - begin) * cells // seen)
    return tuple(ends)


def image_features(network: FrozenNetwork, files: Sequence[Path]) -> Tensor:
    """(N, D) features, one for each image, under the transform of an evaluation."""
    size = None if network.native is None and network.size == MAP_SIZE else network.size
    middle = middle_image(GivenImages(files, pipeline=[]))
    step = dict(center_view(*input_size(middle, size))[0])
    step.pop('type')
    view = CenterView(**step)

    class _Files(Dataset):
        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> Tuple[Tensor, int]:
            image = view(dict(img=read_rgb(str(files[index]))))['img']
            return torch.from_numpy(image).permute(2, 0, 1), -1

    return extract_features(network.model, _Files(), progress=True)[0]
