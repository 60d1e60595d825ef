"""What the class token attends to (MST's supplement, sections 12 and 13).

The last block's attention of [CLS] to the patches, as a figure of one or
more images or as a video.  As in DINO's figures (arXiv 2104.14294), the fewest
patches that together hold a given fraction of the attention count as the object.
"""

import argparse
from itertools import islice
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from mssl_plugins.config import read_config
from mssl_plugins.datasets.image_io import read_rgb
from mssl_plugins.errors import unknown
from mssl_plugins.evaluation.features import find_backbone_module, frozen
from mssl_plugins.evaluation.inputs import build_model
from mssl_plugins.files import progress
from mssl_plugins.visualization import VIDEOS
from mssl_plugins.visualization.canvas import (
    distinct_names,
    enlarge,
    find_images,
    row_names,
    save_image,
    sheet,
)
from mssl_plugins.visualization.network import cut, fit
from mssl_plugins.visualization.video import TOGETHER, read_video, video_facts, write_video


class Network(NamedTuple):
    """A model whose attention is shown.

    Attributes:
        name (str): Its name in titles.
        model (nn.Module): With ``backbone``, a ViT, and perhaps
            ``data_preprocessor``.
        backbone (nn.Module): The backbone of its student or teacher.
        patch (int): Side of a patch in px.
        size (int): Short side of its input in px.
    """

    name: str
    model: nn.Module
    backbone: nn.Module
    patch: int
    size: int


def load(
    config: str,
    checkpoint: str,
    branch: Optional[str] = None,
    name: Optional[str] = None,
    size: Optional[int] = None,
) -> Network:
    """Loads a network.

    Args:
        config (str): Path or shipped name; mmpretrain's ``VisionTransformer``
            is taken as well.
        checkpoint (str): A file, or 'random'.
        branch (str, optional): 'student' or 'teacher'. Defaults to None, see
            :func:`mssl_plugins.checkpoints.reader.default_branch`.
        name (str, optional): Name in titles. Defaults to None: the checkpoint's.
        size (int, optional): Short side of the input in px. Defaults to None:
            the network's.

    Returns:
        Network: On a GPU if there is one.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the backbone is no ViT with a class token, or the size
            is less than a patch.
    """
    cfg = read_config(config)
    kind = str(cfg.model.get('backbone', {}).get('type', '')).rsplit('.', 1)[-1]
    if kind not in ('ViT', 'VisionTransformer'):
        raise ValueError(f"{config}: attention is shown of a ViT, the backbone is '{kind}'")
    cfg.model.backbone.type = 'mssl_plugins.ViT'  # the same network, which shows its attention
    # Weights of either branch go into the model's one backbone.
    model, _ = build_model(cfg, checkpoint, branch)
    backbone = find_backbone_module(model, 'student')
    if getattr(backbone, 'cls_token', None) is None:
        raise ValueError(f'{config}: its ViT has no class token')
    patch = backbone.patch_size
    size = size or backbone.img_size[0]
    if size < patch:
        raise ValueError(f'--size {size} is less than a patch of {patch} px')
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    return Network(name or Path(checkpoint).stem, model.to(device), backbone, patch, size)


def attention_maps(network: Network, images: Sequence[np.ndarray]) -> Tensor:
    """Attention of the class token in the last block.

    Args:
        network (Network): See :func:`load`.
        images (Sequence[np.ndarray]): B images of one size, from
            :func:`~mssl_plugins.visualization.network.fit`.

    Returns:
        Tensor: (B, heads, rows, columns) float32 on the CPU; softmax over
        [CLS] and the patches, without [CLS]'s own weight.
    """
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    device = next(network.backbone.parameters()).device
    preprocess = getattr(network.model, 'data_preprocessor', None)
    with frozen(network.model):
        x = preprocess(dict(inputs=x), False)['inputs'] if preprocess is not None else x.float()
        x = (x[0] if isinstance(x, (list, tuple)) else x).to(device)
        attention = network.backbone.forward_tokens(x, return_attention=True)[1]
    grid = [side // network.patch for side in x.shape[2:]]
    return attention.unflatten(2, grid).float().cpu()


def keep_mass(attention: Tensor, share: float) -> Tensor:
    """The fewest patches that together hold a fraction of the attention.

    Args:
        attention (Tensor): (..., rows, columns), not negative.
        share (float): Fraction of the sum over the patches, in (0, 1].

    Returns:
        Tensor: bool, of the same shape; of equal patches the first are kept.

    Raises:
        ValueError: If ``share`` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f'--mass must be in (0, 1], got {share}')
    flat = attention.flatten(-2).double()
    values, order = flat.sort(dim=-1, descending=True, stable=True)
    before = values.cumsum(-1) - values  # held by patches with more attention
    kept = before < share * values.sum(-1, keepdim=True) - 1e-12
    return torch.zeros_like(kept).scatter(-1, order, kept).view(attention.shape)


def heat(
    attention: np.ndarray,
    size: Tuple[int, int],
    smooth: bool = False,
    top: Optional[float] = None,
) -> np.ndarray:
    """A map in colors, from dark (0) to bright.

    Args:
        attention (np.ndarray): (rows, columns), not negative.
        size (tuple[int, int]): Height and width of the result in px.
        smooth (bool): Whether to interpolate. Defaults to False.
        top (float, optional): The brightest value. Defaults to None: the maximum.

    Returns:
        np.ndarray: (size[0], size[1], 3) uint8 RGB.
    """
    top = max(float(attention.max()) if top is None else top, 1e-12)
    level = (attention / top * 255).round().clip(0, 255).astype(np.uint8)
    way = cv2.INTER_CUBIC if smooth else cv2.INTER_NEAREST
    level = cv2.resize(level, size[::-1], interpolation=way)
    return cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def overlay(image: np.ndarray, attention: np.ndarray) -> np.ndarray:
    """A map (rows, columns) over its image, (H, W, 3) uint8 RGB."""
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(gray, 0.4, heat(attention, image.shape[:2], smooth=True), 0.6, 0)


def only(image: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) in which all patches but the kept ones, (rows, columns) bool, are dark."""
    kept = cv2.resize(kept.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.where(kept[..., None] > 0, image, image // 5)


def tiles(
    network: Network, image: np.ndarray, attention: Tensor, mass: float, heads: bool
) -> List[np.ndarray]:
    """Tiles of one image: mean map, overlay, kept patches, and each head's map.

    Args:
        network (Network): See :func:`load`.
        image (np.ndarray): (H, W, 3) uint8 RGB, cropped by
            :func:`~mssl_plugins.visualization.network.cut`.
        attention (Tensor): (heads, rows, columns).
        mass (float): ``share`` of :func:`keep_mass`.
        heads (bool): Whether to show each head.

    Returns:
        list[np.ndarray]: (H, W, 3) uint8 RGB each.
    """
    mean = attention.mean(0)
    shown = [
        heat(mean.numpy(), image.shape[:2]),
        overlay(image, mean.numpy()),
        only(image, keep_mass(mean, mass).numpy()),
    ]
    if heads:
        shown += [heat(head.numpy(), image.shape[:2]) for head in attention]
    return shown


def titles(networks: Sequence[Network], mass: float, heads: bool) -> List[str]:
    """Titles of the image's column and of the columns of :func:`tiles`."""
    found = ['image']
    for network in networks:
        found += [f'{network.name}: mean', 'overlay', f'{mass:.0%} of it']
        if heads:
            number = network.backbone.arch_settings['num_heads']
            found += [f'head {head + 1}' for head in range(number)]
    return found


def video_frames(
    networks: Sequence[Network], frames: Iterator[np.ndarray], mass: float, tile: int
) -> Iterator[np.ndarray]:
    """Yields each frame next to every network's overlay and kept patches.

    Args:
        networks (Sequence[Network]): The networks.
        frames (Iterator[np.ndarray]): (H, W, 3) uint8 RGB, of one size.
        mass (float): ``share`` of :func:`keep_mass`.
        tile (int): Longer side of a frame in px.

    Yields:
        np.ndarray: uint8 RGB.
    """
    frames = iter(frames)
    while batch := list(islice(frames, TOGETHER)):
        columns = [[] for _ in batch]
        for network in networks:
            shown = [enlarge(cut(frame, network.size, network.patch)[0], tile) for frame in batch]
            maps = attention_maps(
                network, [fit(frame, network.size, network.patch) for frame in batch]
            )
            for column, image, attention in zip(columns, shown, maps):
                column += [] if column else [image]
                height, width = column[0].shape[:2]  # networks may cut differently
                column += [
                    cv2.resize(part, (width, height))
                    for part in tiles(network, image, attention, mass, heads=False)[1:]
                ]
        for column in columns:
            yield np.concatenate(column, 1)


def networks_of(args: argparse.Namespace) -> List[Network]:
    """The one or two networks that the command line names.

    Raises:
        FileNotFoundError, ValueError: See :func:`load`; also if the numbers of names and
            checkpoints differ.
    """
    files = [(args.config, args.checkpoint)]
    if args.compare:
        if len(args.compare) > 2:
            raise ValueError(f'--compare takes [CONFIG] CHECKPOINT, got {len(args.compare)} words')
        files.append((args.compare[0] if len(args.compare) == 2 else args.config, args.compare[-1]))
    if args.names and len(args.names) != len(files):
        raise ValueError(f'--names: {len(args.names)} for {len(files)} checkpoint(s)')
    names = args.names or distinct_names([checkpoint for _, checkpoint in files])
    return [load(*pair, args.branch, name, args.size) for pair, name in zip(files, names)]


def run(args: argparse.Namespace) -> None:
    """Shows attention maps of an image or a folder, or of every frame of a video.

    Raises:
        ValueError: If frames of a video should be written into another kind of file than
            .mp4.
    """
    moving = Path(args.input).suffix.lower() in VIDEOS
    args.out = args.out or f'work_dirs/figures/attention.{"mp4" if moving else "png"}'
    keep_mass(torch.ones(1, 1), args.mass)  # refuses a wrong --mass before the work
    if moving:
        if Path(args.out).suffix.lower() != '.mp4':
            raise unknown(Path(args.out).suffix, ['.mp4'], 'kind of video to write')
        rate, count = video_facts(args.input)
        networks = networks_of(args)
        frames = video_frames(networks, read_video(args.input), args.mass, args.tile or 480)
        write_video(args.out, progress(frames, count), rate)
        return
    files = find_images(args.input, args.rows)
    networks = networks_of(args)
    rows, heads, tile = [], not args.no_heads, args.tile or 160
    for file in files:
        image, row = read_rgb(str(file)), []
        for network in networks:
            view = (image, network.size, network.patch)
            shown = enlarge(cut(*view)[0], tile)
            row += [] if row else [shown]
            row += tiles(network, shown, attention_maps(network, [fit(*view)])[0], args.mass, heads)
        rows.append(row)
    shown = sheet(
        rows, titles(networks, args.mass, heads), tile, names=row_names(args.input, files)
    )
    save_image(args.out, shown)
