"""MaskCo's two views, with the masked box and the key boxes.

Supplement, Algorithm 1, line ``transform``.  The supplement leaves the
distributions open: the crops, the boxes and all numbers here are our choices,
except the 16 negative boxes an image (section A.2).  Cropping, flips and colors
are those of :class:`~mssl_plugins.datasets.transforms.views.Views`.
"""

from typing import Sequence, Tuple

import numpy as np

from mssl_plugins.datasets.transforms.geometry import boxes_to_image, boxes_to_view
from mssl_plugins.datasets.transforms.views import Views
from mssl_plugins.registry import TRANSFORMS


class BoxSampler:
    """Random boxes of whole px: area uniform, aspect log-uniform.

    A sampled box is rounded to the nearest box of whole px that keeps every
    limit, so the limits hold exactly.

    Args:
        size (int): Side S of the view in px.
        area (Tuple[float, float]): Least and largest area / S^2.
        aspect (Tuple[float, float]): Least and largest width / height.
        least (int): Least side in px.

    Raises:
        ValueError: If a range is out of order, or no box fits the ranges.
    """

    def __init__(
        self, size: int, area: Tuple[float, float], aspect: Tuple[float, float], least: int
    ) -> None:
        if len(area) != 2 or not 0 < area[0] <= area[1] <= 1:
            raise ValueError(f'area={area}: allowed are fractions with 0 < low <= high <= 1')
        if len(aspect) != 2 or not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f'aspect={aspect}: allowed are 0 < low <= high')
        self.size, self.aspect, self.least = size, aspect, least
        self.area = tuple(a * size**2 for a in area)
        if not len(self.sides(size, size)[0]):
            raise ValueError(
                f'no box of at least {least} px a side with area={area} and aspect={aspect} fits '
                f'a view of {size} px: {least**2 / size**2:.2f} of the view is the least area; '
                'use larger views, a smaller stride or fewer cells'
            )

    def sides(self, width: int, height: int) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Allowed box widths in a room of ``width`` x ``height`` px.

        With the least and largest height of each; empty if no box fits.
        """
        w = np.arange(self.least, width + 1)
        low = np.maximum.reduce([np.full(len(w), self.least), self.area[0] / w, w / self.aspect[1]])
        high = np.minimum.reduce([np.full(len(w), height), self.area[1] / w, w / self.aspect[0]])
        # the small rest keeps whole numbers whole
        low, high = np.ceil(low - 1e-6).astype(int), np.floor(high + 1e-6).astype(int)
        ok = low <= high
        return w[ok], low[ok], high[ok]

    def sample(self, rng: np.random.Generator, room: Sequence[int], num: int) -> np.ndarray:
        """Boxes within a room where :meth:`sides` is not empty.

        Args:
            rng (np.random.Generator): Source of randomness.
            room (Sequence[int]): Where boxes may lie: x0, y0, x1, y1 in px of
                the view.
            num (int): How many.

        Returns:
            np.ndarray: (num, 4) float64 whole numbers, in px of the view.
        """
        x0, y0, x1, y1 = room
        width, height = x1 - x0, y1 - y0
        widths, low, high = self.sides(width, height)
        area = rng.uniform(self.area[0], min(self.area[1], width * height), num)
        # the aspects that fit at this area; an empty range closes on its middle
        least = np.maximum(self.aspect[0], np.maximum(area / height**2, self.least**2 / area))
        most = np.minimum(self.aspect[1], np.minimum(width**2 / area, area / self.least**2))
        aspect = np.exp(rng.uniform(0, 1, num) * np.log(most / least) + np.log(least))
        nearest = np.abs(np.sqrt(area * aspect)[:, None] - widths).argmin(1)
        w = widths[nearest]
        h = np.clip(np.rint(area / w).astype(int), low[nearest], high[nearest])
        left, top = x0 + rng.integers(width - w + 1), y0 + rng.integers(height - h + 1)
        return np.stack([left, top, left + w, top + h], -1).astype(np.float64)


@TRANSFORMS.register_module()
class MaskCoViews(Views):
    """Query view, key view, masked box and key boxes of MaskCo.

    Adds the keys of :class:`~mssl_plugins.datasets.transforms.views.Views`, and

    - ``masked_box``: (4,) float64, in px of the query view (the first).  Its
      edges are whole px, so that it covers whole pixels and the fill touches
      exactly the box; it lies in what both views show.
    - ``key_boxes``: (1 + num_boxes, 4) float64, in px of the key view (the
      second).  Box 0 is the masked region there, with fractions of a px; the
      others are anywhere in the view.

    Boxes are float64 so that both views lead back to the same region of the
    image to 1e-4 px however large it is.  The images stay whole: the model
    masks them.  Pack with ``PackViews(keys=('masked_box', 'key_boxes'))``.

    Args:
        views (Sequence[dict]): Groups of :class:`Views`, two views in all.
        num_boxes (int): Negative boxes in the key view; M = 16 in the paper.
            Defaults to 16.
        area (Tuple[float, float]): Area of a box as a fraction of its view. Our
            choice. Defaults to (0.1, 0.4).
        aspect (Tuple[float, float]): Width / height of a box. Our choice.
            Defaults to (0.5, 2.0).
        stride (int): Px a cell of the backbone's last map. Defaults to 32.
        min_cells (int): Least side of a box in cells. Our choice. Defaults
            to 2.
        overlap (float): Least area that both views show, as a fraction of
            the query view's. Our choice. Defaults to 0.2.
        tries (int): How many pairs of crops are drawn until a box fits; after
            that the query's crop is used for both. Defaults to 10.

    Raises:
        ValueError: If there are not two views, a number is out of range, or
            no box can fit a view.

    Example:
        >>> import numpy as np
        >>> views = MaskCoViews([dict(num=2, size=224)])
        >>> out = views(dict(img=np.zeros((375, 500, 3), np.uint8)))
        >>> out['masked_box'].shape, out['key_boxes'].shape
        ((4,), (17, 4))
    """

    def __init__(
        self,
        views: Sequence[dict],
        num_boxes: int = 16,
        area: Tuple[float, float] = (0.1, 0.4),
        aspect: Tuple[float, float] = (0.5, 2.0),
        stride: int = 32,
        min_cells: int = 2,
        overlap: float = 0.2,
        tries: int = 10,
    ) -> None:
        super().__init__(views)
        if len(self.groups) != 2:
            raise ValueError(f'MaskCo takes 2 views, query and key, got {len(self.groups)}')
        for group in self.groups:
            if not isinstance(group.size, int):
                raise ValueError(f'MaskCo takes square views, got size={group.size}')
        if not 0 <= overlap <= 1:
            raise ValueError(f'overlap={overlap}: must lie in [0, 1]')
        for name, value, low in (
            ('num_boxes', num_boxes, 1),
            ('stride', stride, 1),
            ('min_cells', min_cells, 1),
            ('tries', tries, 1),
        ):
            if value != int(value) or value < low:
                raise ValueError(f'{name}={value}: must be a whole number of {low} or more')
        self.num_boxes, self.overlap, self.tries = num_boxes, overlap, tries
        self.query_sampler, self.key_sampler = (
            BoxSampler(group.size, area, aspect, stride * min_cells) for group in self.groups
        )

    def draw_boxes(self, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
        """Two crops that share enough for a masked box; see :class:`Views`."""
        for _ in range(self.tries):
            crops = super().draw_boxes(rng, height, width)
            x0, y0, x1, y1 = self.room(crops)
            large = (x1 - x0) * (y1 - y0) >= self.overlap * self.query_sampler.size**2
            if x1 > x0 and y1 > y0 and large and len(self.query_sampler.sides(x1 - x0, y1 - y0)[0]):
                return crops
        return crops[[0, 0]]

    def room(self, crops: np.ndarray) -> Tuple[int, int, int, int]:
        """The region that both crops show, in whole px of the query view before its flip."""
        shared = np.concatenate([crops[:, :2].max(0), crops[:, 2:].min(0)]).astype(np.float64)
        x0, y0, x1, y1 = boxes_to_view(shared[None], crops[0], False, self.query_sampler.size)[0]
        # the small rest keeps whole numbers whole
        x0, y0 = np.ceil([x0 - 1e-6, y0 - 1e-6])
        x1, y1 = np.floor([x1 + 1e-6, y1 + 1e-6])
        return int(x0), int(y0), int(x1), int(y1)

    def transform(self, results: dict) -> dict:
        """Makes the views, then the boxes; see the class for the keys."""
        results = super().transform(results)
        rng = results['rng']
        crops, flips = results['view_boxes'].astype(np.float64), results['view_flips']
        size, key_size = self.query_sampler.size, self.key_sampler.size
        masked = self.query_sampler.sample(rng, self.room(crops), 1)
        if flips[0]:
            masked[:, [0, 2]] = size - masked[:, [2, 0]]
        region = boxes_to_image(masked, crops[0], flips[0], size)
        positive = boxes_to_view(region, crops[1], flips[1], key_size).clip(0, key_size)
        negatives = self.key_sampler.sample(rng, (0, 0, key_size, key_size), self.num_boxes)
        results['masked_box'] = masked[0]
        results['key_boxes'] = np.concatenate([positive, negatives])
        return results
