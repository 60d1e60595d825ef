"""Frozen features of every patch of images with label maps, kept on disk."""

from typing import Dict, Iterator, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from mssl_plugins.distributed import rank_slice
from mssl_plugins.evaluation.dense_data import DenseData, patch_distribution
from mssl_plugins.evaluation.features import frozen
from mssl_plugins.evaluation.store import FeatureStore
from mssl_plugins.models.readout import MAPS, dense_kinds, image_channels, patch_size, read_layers

STRIDE = 32  # px between the cells of a ResNet's conv5


def input_stride(backbone: nn.Module) -> int:
    """The number of px that the sides of an input must be a multiple of.

    Raises:
        ValueError: For a backbone without a map.
    """
    if dense_kinds(backbone) == list(MAPS):
        return STRIDE
    return patch_size(backbone)


def grids(backbone: nn.Module, shape: Tuple[int, int]) -> Dict[str, Tuple[int, int]]:
    """(h, w) patches of each kind of dense features for an input size.

    Args:
        backbone (nn.Module): A ViT or ResNet.
        shape (tuple[int, int]): (H, W) of the input in px.

    Returns:
        dict[str, tuple[int, int]]: Rows and columns under the kind's name.

    Raises:
        ValueError: For a backbone without a map.
    """
    kinds = dense_kinds(backbone)
    if kinds != list(MAPS):
        patch = input_stride(backbone)
        return {kinds[0]: (shape[0] // patch, shape[1] // patch)}
    found = {}
    stages = [getattr(backbone, f'layer{i}') for i in (3, 4)]
    handles = [
        stage.register_forward_hook(
            lambda module, args, out, kind=kind: found.update({kind: tuple(out.shape[2:])})
        )
        for kind, stage in zip(kinds, stages)
    ]
    with frozen(backbone):
        device = next(backbone.parameters()).device
        x = torch.zeros(1, image_channels(backbone), *shape, device=device)
        read_layers(backbone, x, kinds)
    for handle in handles:
        handle.remove()
    return found


class DenseFeatures:
    """One kind of patch features, and the classes of each patch's pixels.

    Args:
        store (FeatureStore): Where the features are kept.
        data (DenseData): The images and masks.
        kind (str): One of :func:`mssl_plugins.models.readout.dense_kinds`.
        grid (tuple[int, int]): (h, w) patches of an image.
    """

    def __init__(
        self, store: FeatureStore, data: DenseData, kind: str, grid: Tuple[int, int]
    ) -> None:
        self.store, self.data, self.kind, self.grid = store, data, kind, grid
        self.patches = grid[0] * grid[1]

    def distributions(self) -> Iterator[Tensor]:
        """(h * w, C) class distributions of each training image's patches."""
        for i in range(len(self.data.files['train'])):
            mask = self.data.mask('train', i)
            yield patch_distribution(mask, self.grid, self.data.num_classes).flatten(0, 1)

    def bank(self, chosen: Sequence[Tensor]) -> Tensor:
        """(N, D) features of chosen training patches.

        Args:
            chosen (Sequence[Tensor]): Indices of patches, for each image.

        Returns:
            Tensor: (N, D), image by image.
        """
        rows: List[Tensor] = []
        for part in self.store.parts('train', self.kind):
            for features in part.unflatten(1, (self.patches, -1)):
                rows.append(features[chosen[len(rows)]].float())
        return torch.cat(rows)

    def test(self) -> Iterator[Tuple[range, Tensor]]:
        """Yields indices and (n, h * w, D) features of this process's test images, in batches."""
        begin = 0
        for part in self.store.parts('test', self.kind):
            mine = rank_slice(len(part))
            numbers = range(begin + mine.start, begin + mine.stop)
            yield numbers, part[mine.start : mine.stop].unflatten(1, (self.patches, -1)).float()
            begin += len(part)


def extract(store: FeatureStore, data: DenseData, kinds: Sequence[str]) -> None:
    """Computes the features that are not yet kept; every process takes part.

    Args:
        store (FeatureStore): Where they are kept.
        data (DenseData): The images.
        kinds (Sequence[str]): Kinds of features.
    """
    for split in ('train', 'test'):
        store.add(split, data.images(split), kinds)
