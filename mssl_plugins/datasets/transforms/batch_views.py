"""The views of a whole batch as one tensor program, for small images.

Arguments and distributions are those of
:class:`~mssl_plugins.datasets.transforms.views.Views`, drawn for all samples at once.
Crops, resizing, flips and blur are products with a matrix for each sample; color is
arithmetic on whole batches.  It runs on any device, in floating point, where
:class:`Views` rounds to whole levels after each operation: the results differ by one
or two levels of 255.

At 32 to 96 px a call into a library costs more than its arithmetic, and this pays.
Large photos are decoded by workers, which should also crop them.
"""

from typing import Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from mssl_plugins.datasets.sampler import SampleIndex
from mssl_plugins.datasets.transforms.batch_color import Draws, augment, draw
from mssl_plugins.datasets.transforms.batch_geometry import (
    random_resized_crops,
    resampling,
    separable,
)
from mssl_plugins.datasets.transforms.geometry import carry, height_width
from mssl_plugins.datasets.transforms.pack import tensors
from mssl_plugins.datasets.transforms.views import ViewGroup, Views

CACHED = 2**20  # values of a part of a batch: 4 MiB in float32, fastest on a Xeon with AMX


def batch_rng(samples: Optional[Sequence]) -> np.random.Generator:
    """The random generator of a batch: a function of seed, epoch and its samples' indices.

    Args:
        samples (Sequence, optional): Data samples with ``sample_idx``; see
            :func:`~mssl_plugins.datasets.sampler.sample_rng`.

    Returns:
        np.random.Generator: Unseeded if a sample has no
        :class:`~mssl_plugins.datasets.sampler.SampleIndex`.
    """
    indices = [sample.get('sample_idx') for sample in samples or ()]
    if indices and all(isinstance(index, SampleIndex) for index in indices):
        return np.random.default_rng([indices[0].seed, indices[0].epoch, *map(int, indices)])
    return np.random.default_rng()


def pieces(images: Tensor) -> Iterator[slice]:
    """Parts of a batch: on a CPU as many images as lie in its cache, elsewhere all."""
    size = len(images)
    if images.device.type == 'cpu':
        size = max(1, CACHED // images[0].numel())
    return (slice(start, start + size) for start in range(0, len(images), size))


class BatchViews:
    """Random views of a batch of images of one size, on their device.

    Args:
        views (Sequence[dict]): Groups of views as in
            :class:`~mssl_plugins.datasets.transforms.views.Views`.

    Raises:
        ValueError: As :class:`Views` does.

    Example:
        >>> views = BatchViews([dict(num=2, size=32, jitter=dict(brightness=0.4))])
        >>> [view.shape for view in views(torch.zeros(8, 3, 32, 32, dtype=torch.uint8))]
        [torch.Size([8, 3, 32, 32]), torch.Size([8, 3, 32, 32])]
    """

    def __init__(self, views: Sequence[dict]) -> None:
        self.groups: List[ViewGroup] = Views(views).groups

    def draw_geometry(
        self, rng: np.random.Generator, number: int, height: int, width: int
    ) -> Tuple[np.ndarray, np.ndarray]:
        """Crops (V, number, 4) in px and flips (V, number) of all views."""
        boxes, flips = [], []
        for group in self.groups:
            if group.crop == 'pad':
                group.draw_box(rng, height, width)  # refuses an image that is too small
                view = height_width(group.size)[::-1]
                room = np.array([width, height]) + 2 * group.padding - view
                start = rng.integers(room + 1, size=(number, 2)) - group.padding
                box = np.concatenate([start, start + view], 1)
            else:
                box = random_resized_crops(rng, number, height, width, group.scale, group.ratio)
            boxes.append(box)
            flips.append(rng.random(number) < group.flip)
        return np.stack(boxes), np.stack(flips)

    def __call__(self, images: Tensor, samples: Optional[Sequence] = None) -> List[Tensor]:
        """Views of a batch.

        Args:
            images (Tensor): (B, 3, H, W) in 0-255.
            samples (Sequence, optional): B data samples, which get
                ``view_boxes``, ``view_flips`` and, from ``gt_bboxes`` and
                ``segments``, what
                :func:`~mssl_plugins.datasets.transforms.geometry.carry` makes of them.
                Defaults to None.

        Returns:
            list[Tensor]: V batches (B, 3, S, S) float32 in 0-255; of views that
            are not square (B, 3, height, width).
        """
        rng, (height, width) = batch_rng(samples), images.shape[2:]
        boxes, flips = self.draw_geometry(rng, len(images), height, width)
        drawn = [draw(group.photometric, rng, len(images)) for group in self.groups]
        parts = []
        for rows in pieces(images):
            # (B, H, 3, W) in memory, once for all views: their first product needs it
            pixels = images[rows].transpose(1, 2).contiguous().float().transpose(1, 2)
            # a step runs under autocast, and bfloat16 has 8 bits, too few for pixels
            with torch.autocast(images.device.type, enabled=False):
                parts.append(
                    [
                        self._render(group, pixels, box[rows], flip[rows], light.of(rows))
                        for group, box, flip, light in zip(self.groups, boxes, flips, drawn)
                    ]
                )
        views = parts[0] if len(parts) == 1 else [torch.cat(view) for view in zip(*parts)]
        for i, sample in enumerate(samples or ()):
            self._carry(sample, height, width, boxes[:, i], flips[:, i])
        return views

    def _render(
        self, group: ViewGroup, images: Tensor, box: np.ndarray, flip: np.ndarray, drawn: Draws
    ) -> Tensor:
        """(B, 3, H, W) float32 -> one view of each, (B, 3, S, S)."""
        (height, width), (view_height, view_width) = images.shape[2:], height_width(group.size)
        x0, y0, x1, y1 = torch.from_numpy(box.T).to(images.device)
        turned = torch.from_numpy(flip).to(images.device)
        how = (group.interpolation, group.crop)
        rows = resampling(y0, y1, None, height, view_height, *how)  # (B, S, H)
        columns = resampling(x0, x1, turned, width, view_width, *how)  # (B, S, W)
        view = separable(rows, images, columns)
        if group.interpolation == 'bicubic':
            view.clamp_(0, 255)  # the cubic overshoots
        return augment(view, drawn, group.photometric)

    def _carry(self, sample, height: int, width: int, boxes: np.ndarray, flips: np.ndarray):
        """Gives a data sample the geometry of its views."""
        results = {
            key: np.asarray(sample.get(key))
            for key in ('gt_bboxes', 'segments')
            if sample.get(key) is not None
        }
        given = set(results)
        carry(results, height, width, boxes, flips, [group.size for group in self.groups])
        for key in set(results) - given:
            sample.set_field(tensors(results[key]), key)
