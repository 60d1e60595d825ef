"""Loads images and models for the figures of pre-training methods."""

import argparse
from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple, Union

import cv2
import numpy as np
import torch
from mmengine.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from mssl_plugins.checkpoints.compare import compare
from mssl_plugins.checkpoints.loading import load_checkpoint_safely
from mssl_plugins.config import read_config
from mssl_plugins.datasets.scenes import Scenes
from mssl_plugins.datasets.transforms.views import CenterView
from mssl_plugins.errors import UserError
from mssl_plugins.models.selfsup.mask_guided import MaskGuided
from mssl_plugins.segments.generators import build_generator
from mssl_plugins.visualization.canvas import find_images, row_names


def read_square(path: Union[str, Path], size: int) -> np.ndarray:
    """The center of an image, short side resized to ``size`` px: (size, size, 3) uint8 RGB."""
    return CenterView(size)(dict(img_path=str(path)))['img']


def squares(path: Optional[str], count: int, size: int, seed: int) -> Tuple[np.ndarray, List[str]]:
    """Square images for a figure.

    Args:
        path (str, optional): An image or a folder; None: generated scenes.
        count (int): At most this many.
        size (int): Side in px.
        seed (int): Seed of the scenes.

    Returns:
        tuple[np.ndarray, list[str]]: (N, size, size, 3) uint8 RGB, and the
        files' names; scenes have none.

    Raises:
        FileNotFoundError: If there is no image.
        ValueError: If none is asked for.
    """
    if count < 1:
        raise ValueError(f'at least 1 image must be shown, got {count}')
    if path:
        files = find_images(path, count)
        return np.stack([read_square(file, size) for file in files]), row_names(path, files)
    scenes = Scenes(split='test', length=count, size=size, seed=seed)
    return np.stack([scenes[i]['img'] for i in range(len(scenes))]), []


class SeenImages(NamedTuple):
    """The images of a figure and what the model gets of them.

    Attributes:
        images (np.ndarray): (N, S, S, 3) uint8 RGB.
        files (list[str]): Their files' names; scenes have none.
        x (Tensor): (N, 3, S, S), normalized.
        samples (list, optional): See :func:`shown_segments`.
    """

    images: np.ndarray
    files: List[str]
    x: Tensor
    samples: Optional[list]


def seen_images(model, args: argparse.Namespace) -> SeenImages:
    """The images that a command line names, as the model gets them.

    Torch's seed is set, so that masks drawn afterwards depend on ``args.seed`` alone.

    Args:
        model (nn.Module): A pre-training model with a ViT.
        args (Namespace): With ``images``, ``rows`` and ``seed``, and perhaps ``size``.

    Returns:
        SeenImages: ``args.rows`` images, or fewer.

    Raises:
        UserError: If patches do not tile the size.
        FileNotFoundError, ValueError: See :func:`squares`.
    """
    patch = model.backbone.patch_size
    asked = getattr(args, 'size', None)
    size = model.backbone.img_size[0] if asked is None else asked
    if size < patch or size % patch:
        raise UserError(f'--size {size}: must be a multiple of the patch of {patch} px')
    images, files = squares(args.images, args.rows, size, args.seed)
    torch.manual_seed(args.seed)
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    x = model.data_preprocessor(dict(inputs=[x]))['inputs'][0]
    return SeenImages(images, files, x, shown_segments(model, images))


def whole_model(config: str, checkpoint: str, needs: List[str], what: str):
    """A pre-training model with all of its weights, in evaluation mode.

    Args:
        config (str): A config, by path or shipped name.
        checkpoint (str): A checkpoint of this config.
        needs (List[str]): Names of functions that the model's class must have.
        what (str): Which configs have them, for the error message.

    Returns:
        nn.Module: The model.

    Raises:
        FileNotFoundError: If config or checkpoint does not exist.
        ValueError: If the model lacks such a function, or the checkpoint is
            another model's.
    """
    model = MODELS.build(read_config(config).model)
    for name in needs:
        if not hasattr(model, name):
            raise ValueError(f'{config}: {type(model).__name__} cannot {name}; {what}')
    found = load_checkpoint_safely(checkpoint)
    weights = found.get('state_dict', found)
    try:
        model.load_state_dict(weights)  # which resizes position embeddings
    except RuntimeError as error:
        report = compare(model.state_dict(), weights, ['backbone.pos_embed'])
        why = '; '.join(report.differences()) or str(error)
        raise ValueError(f'{checkpoint} is not of {config}: {why}') from None
    model.eval()
    return model


def shown_segments(model, images: np.ndarray) -> Optional[list]:
    """Data samples that give a mask-guided model the segments of the images.

    The segments are made here by scikit-image (Felzenszwalb's method). A model
    without attention bias gets none.

    Args:
        model (nn.Module): A pre-training model.
        images (np.ndarray): (N, H, W, 3) uint8 RGB.

    Returns:
        list, optional: N ``DataSample`` with ``view_segments``; None where
        the model takes no segments.
    """
    if not isinstance(model, MaskGuided):
        return None
    generate, samples = build_generator('felzenszwalb', {}), []
    for image in images:
        labels = np.asarray(generate(image, '', {}), np.uint16)
        labels = cv2.resize(labels, image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        sample = DataSample()
        sample.set_field([labels], 'view_segments', field_type='metainfo')
        samples.append(sample)
    return samples
