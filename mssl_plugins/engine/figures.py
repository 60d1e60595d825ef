"""Figures of held-out images during training.

Nearest neighbors, principal components of patch features, attention of the
class token, and the method's own figure: mixed images, reconstructions, boxes.
"""

import os
from typing import Callable, Dict, List, NamedTuple, Tuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.evaluation.features import (
    find_backbone_module,
    frozen,
    make_loader,
    preserved_rng,
)
from mssl_plugins.evaluation.neighbors import nearest_images
from mssl_plugins.evaluation.patch_maps import colors_of, patch_maps
from mssl_plugins.visualization import reconstruction
from mssl_plugins.visualization.attention import overlay
from mssl_plugins.visualization.boxes import draw_boxes
from mssl_plugins.visualization.canvas import denormalize, sheet

IMAGES, NEIGHBORS, TILE = 6, 5, 112  # rows, columns of the gallery, px


class HeldOut(NamedTuple):
    """A model and the held-out images that its figures show.

    Attributes:
        model (nn.Module): A pre-training model, in evaluation mode.
        branch (str): 'student' or 'teacher'.
        images (Tensor): (B, 3, H, W) uint8, or with the channels that the set keeps.
        inputs (Tensor): The same, as the backbone gets them.
        samples (list, optional): Their data samples, for methods that take segments.
        names (List[str]): Names of the images' files; empty if there are no files.
    """

    model: nn.Module
    branch: str
    images: Tensor
    inputs: Tensor
    samples: list
    names: List[str]

    @property
    def shown(self) -> np.ndarray:
        """(B, H, W, 3) uint8 RGB."""
        return as_arrays(self.images)


def as_arrays(images: Tensor) -> np.ndarray:
    """(B, C, H, W) images as (B, H, W, 3) uint8; RGB as it is.

    Of other channels the first three are shown, the last one repeated if there are fewer,
    each from black (its smallest value) to white (its largest).
    """
    if images.shape[1] != 3 or images.dtype != torch.uint8:
        x = images[:, [min(i, images.shape[1] - 1) for i in range(3)]].float()
        low, high = x.amin((0, 2, 3), True), x.amax((0, 2, 3), True)
        images = ((x - low) / (high - low).clamp(min=1) * 255).byte()
    return images.permute(0, 2, 3, 1).contiguous().numpy()


def _first(inputs) -> Tensor:
    return inputs[0] if isinstance(inputs, (list, tuple)) else inputs


def first_held_out(model: nn.Module, branch: str, loader: DataLoader) -> HeldOut:
    """Loads the images that figures show: evenly spread over the set, always the same."""
    queries = spread(len(loader.dataset))
    batch = next(iter(make_loader(loader, queries)))
    images = torch.as_tensor(_first(batch['inputs']))
    ready = model.data_preprocessor(batch, False)
    names = file_names(loader.dataset, queries)
    return HeldOut(model, branch, images, _first(ready['inputs']), ready.get('data_samples'), names)


def file_names(dataset: Dataset, numbers: List[int]) -> List[str]:
    """Names of some images' files; [] where a set does not tell or has no files."""
    info = getattr(dataset, 'get_data_info', lambda number: {})
    names = [os.path.basename(info(number).get('img_path') or '') for number in numbers]
    return names if any(names) else []


def spread(total: int) -> List[int]:
    """At most ``IMAGES`` indices, evenly spread over ``total`` images."""
    return np.linspace(0, total - 1, min(IMAGES, total)).round().astype(int).tolist()


def gallery(dataset: Dataset, features: Tensor) -> np.ndarray:
    """One row for each image: itself, and the images with the most similar features.

    Args:
        dataset (Dataset): N images of one size.
        features (Tensor): (N, D).

    Returns:
        np.ndarray: One uint8 RGB figure.
    """
    queries = spread(len(dataset))
    cosines, found = nearest_images(features, queries, min(NEIGHBORS, len(dataset) - 1))
    rows = []
    for query, others in zip(queries, found.tolist()):
        row = [_first(dataset[i]['inputs']) for i in (query, *others)]
        rows.append(list(as_arrays(torch.stack(row))))
    means = cosines.mean(0).tolist()
    titles = ['image', *(f'{i + 1}: mean cosine {mean:.2f}' for i, mean in enumerate(means))]
    return sheet(rows, titles, TILE, names=file_names(dataset, queries))


def components(held_out: HeldOut) -> np.ndarray:
    """One row for each image: itself, and the first three components of its patches in color."""
    backbone = find_backbone_module(held_out.model, held_out.branch)
    maps = list(patch_maps(held_out.model, held_out.images, backbone))
    rows = []
    for image, whole, part in zip(held_out.shown, colors_of(maps, False), colors_of(maps)):
        size = image.shape[1::-1]
        painted = [
            cv2.resize(colors.numpy(), size, interpolation=cv2.INTER_NEAREST)
            for colors in (whole, part)
        ]
        rows.append([image, *painted])
    titles = ['image', 'PCA of patches', 'of the foreground']
    return sheet(rows, titles, TILE, names=held_out.names)


def attention(held_out: HeldOut) -> np.ndarray:
    """One row for each image: itself, and the class token's attention, a mean over heads.

    Raises:
        ValueError: For a network without a class token.
    """
    backbone = find_backbone_module(held_out.model, held_out.branch)
    if getattr(backbone, 'cls_token', None) is None:
        raise ValueError('the network has no class token')
    maps = backbone.forward_tokens(held_out.inputs, return_attention=True)[1].mean(1)
    grid = [side // backbone.patch_size for side in held_out.inputs.shape[2:]]
    maps = maps.unflatten(1, grid).float().cpu().numpy()
    rows = [[image, overlay(image, part)] for image, part in zip(held_out.shown, maps)]
    return sheet(rows, ['image', 'attention'], TILE, names=held_out.names)


def mixed(held_out: HeldOut) -> np.ndarray:
    """One row for each image: itself, its partner, and the two mixed.

    Raises:
        ValueError: For a method that mixes nothing.
    """
    if getattr(held_out.model, 'mixing', None) is None:
        raise ValueError('the method mixes no images')
    drawn = held_out.model.mixing(held_out.inputs)
    joined = [denormalize(part.images, held_out.model.data_preprocessor) for part in drawn]
    rows = []
    for i, image in enumerate(held_out.shown):
        rows.append([image])
        for part, images in zip(drawn, joined):
            rows[-1] += [held_out.shown[int(part.partner[i])], images[i]]
    titles = [title for part in drawn for title in ('partner', f'{part.name}, {part.lam:.2f}')]
    return sheet(rows, ['image', *titles], TILE, names=held_out.names)


def reconstructed(held_out: HeldOut) -> np.ndarray:
    """One row for each image: itself, its visible part, and the prediction.

    Raises:
        ValueError: For a method that predicts no pixels.
    """
    if not hasattr(held_out.model, 'reconstruct'):
        raise ValueError('the method predicts no pixels')
    seen = (held_out.shown, held_out.inputs, held_out.samples)
    return reconstruction.of_model(held_out.model, *seen, TILE, held_out.names)


def boxes(dataset: Dataset) -> np.ndarray:
    """MaskCo's two views of training images, with their boxes.

    Raises:
        ValueError: For a method without boxes.
    """
    rows = []
    queries = spread(len(dataset))[:3]
    names = file_names(dataset, queries) or [''] * len(queries)
    for i, name in zip(queries, names):
        sample = dataset[SampleIndex(i, seed=0, epoch=0)]
        known = sample['data_samples']
        if getattr(known, 'masked_box', None) is None:
            raise ValueError('the method has no boxes')
        views = as_arrays(torch.stack(list(sample['inputs'])))
        rows.append(
            draw_boxes(list(views), np.asarray(known.masked_box), known.key_boxes, 2 * TILE, name)
        )
    return np.concatenate(rows)


def draw(
    model: nn.Module, branch: str, loader: DataLoader, features: Tensor, trained_on: Dataset
) -> Tuple[Dict[str, np.ndarray], Dict[str, str]]:
    """Every figure that a method has.

    Args:
        model (nn.Module): A pre-training model, not wrapped. Neither it nor
            the random generators are changed.
        branch (str): 'student' or 'teacher'.
        loader (DataLoader): N held-out images under the test transform.
        features (Tensor): (N, D), their features.
        trained_on (Dataset): The training set with its own transform.

    Returns:
        tuple[dict[str, np.ndarray], dict[str, str]]: uint8 RGB figures by
        name, and for each figure that is not drawn the reason.
    """
    figures, absent = {}, {}
    with preserved_rng(), frozen(model):
        torch.manual_seed(0)  # the same masks at every measurement
        held_out = first_held_out(model, branch, loader)
        kinds: Dict[str, Callable[[], np.ndarray]] = dict(
            neighbors=lambda: gallery(loader.dataset, features),
            components=lambda: components(held_out),
            attention=lambda: attention(held_out),
            mixed=lambda: mixed(held_out),
            reconstructed=lambda: reconstructed(held_out),
            boxes=lambda: boxes(trained_on),
        )
        for name, kind in kinds.items():
            try:
                figures[name] = kind()
            except ValueError as error:  # not every method has each
                absent[name] = str(error)
    return figures, absent
