"""Patch features as maps, and the colors that show them.

As in DINOv2 (arXiv 2304.07193, section 7.5 and Fig. 1): the first principal
component of the patches of several images separates foreground from background.
The first three components of the foreground's patches give their colors, on one
basis for all images.  The paper prints neither the threshold on the first
component nor which side of it is the foreground.  Ours: Otsu's threshold, and
the side that is rarer on the images' borders.
"""

from typing import List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor, nn

from mssl_plugins.evaluation.dense_features import grids
from mssl_plugins.evaluation.features import frozen
from mssl_plugins.models.readout import dense_kinds, read_layers

BINS = 256  # of Otsu's threshold


def patch_maps(
    model: nn.Module,
    images: Sequence[Tensor],
    backbone: Optional[nn.Module] = None,
    kind: Optional[str] = None,
) -> Tensor:
    """Frozen features of every patch of images of one size.

    Args:
        model (nn.Module): With ``data_preprocessor`` and ``backbone``.
        images (Sequence[Tensor]): B images (3, H, W), 0-255 RGB.
        backbone (nn.Module, optional): Another backbone, such as the
            teacher's. Defaults to None: the model's.
        kind (str, optional): One of
            :func:`mssl_plugins.models.readout.dense_kinds`. Defaults to None:
            patch tokens of a ViT after the last norm, or a ResNet's conv5.

    Returns:
        Tensor: (B, h, w, D) float32 on the CPU.

    Raises:
        ValueError: For a backbone without a map.
    """
    backbone = model.backbone if backbone is None else backbone
    kind = kind or dense_kinds(backbone)[-1]
    x = torch.stack(list(images))
    grid = grids(backbone, tuple(x.shape[2:]))[kind]
    with frozen(model), frozen(backbone):
        x = model.data_preprocessor(dict(inputs=x), False)['inputs']
        x = x[0] if isinstance(x, (list, tuple)) else x
        x = x.to(next(backbone.parameters()).device)
        found = read_layers(backbone, x, [kind])[kind]
    return found.unflatten(1, (*grid, -1)).cpu()


def principal_axes(rows: Tensor, number: int) -> Tensor:
    """Directions of the largest variance of centered rows.

    Args:
        rows (Tensor): (N, D) float64 of mean 0.
        number (int): How many directions.

    Returns:
        Tensor: (number, D) unit vectors in descending order of variance, each
        with its largest entry positive; zeros if there are fewer directions.
    """
    if len(rows) < rows.size(1):
        # the same directions by an N x N matrix, which takes far less time than D x D
        values, vectors = torch.linalg.eigh(rows @ rows.T)
        values, vectors = values.flip(0)[:number], vectors.flip(1)[:, :number].T
        vectors = vectors[values > values.amax() * rows.size(1) * torch.finfo(rows.dtype).eps]
        vectors = torch.nn.functional.normalize(vectors @ rows, dim=1)
    else:
        vectors = torch.linalg.eigh(rows.T @ rows).eigenvectors.flip(1)[:, :number].T
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    axes = rows.new_zeros(number, rows.size(1))
    axes[: len(vectors)] = vectors * largest.sign()
    return axes


def otsu(values: Tensor) -> float:
    """Otsu's threshold: it splits numbers into two classes with the least variance inside.

    Args:
        values (Tensor): (N,) numbers.

    Returns:
        float: A border between two of the :data:`BINS` bins of a histogram; of
        equally good thresholds their middle. If all values are equal, that
        value.
    """
    values = values.double()
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return low
    width = (high - low) / BINS
    at = ((values - low) / width).long().clamp(max=BINS - 1)
    count = torch.bincount(at, minlength=BINS).double()
    center = low + (torch.arange(BINS).double() + 0.5) * width
    below, total = count.cumsum(0)[:-1], count.sum()
    part = (count * center).cumsum(0)[:-1]
    above = total - below
    between = below * above * (part / below - ((count * center).sum() - part) / above).square()
    best = (between >= between.max() * (1 - 1e-9)).nonzero().double().mean()
    return low + (float(best) + 1) * width


class PatchBasis(NamedTuple):
    """Colors for patches, one basis for several images.

    Attributes:
        mean (Tensor): (D,) float64, mean of all patches.
        first (Tensor): (D,), the first principal axis, positive toward the
            foreground.
        threshold (float): Patches whose projection on ``first`` is larger are
            foreground.
        center (Tensor): (D,), mean of the patches that are colored.
        axes (Tensor): (3, D), principal axes of these patches.
        low, high (Tensor): (3,), the range of each axis that the colors span.
    """

    mean: Tensor
    first: Tensor
    threshold: float
    center: Tensor
    axes: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def fit(cls, maps: Sequence[Tensor], foreground: bool = True) -> 'PatchBasis':
        """Fits the basis to the patches of images.

        Args:
            maps (Sequence[Tensor]): (h, w, D) features, of any h and w.
            foreground (bool): Whether to separate foreground from background;
                otherwise every patch gets a color. Defaults to True.

        Raises:
            ValueError: If there are fewer than two patches, or values that are
                not finite.
        """
        rows = torch.cat([m.flatten(0, 1) for m in maps]).double()
        if len(rows) < 2 or not torch.isfinite(rows).all():
            raise ValueError(
                f'colors need two or more patches of finite features, got {len(rows)} patches'
                + ('' if torch.isfinite(rows).all() else ', some not finite')
            )
        mean = rows.mean(0)
        first = principal_axes(rows - mean, 1)[0]
        threshold, kept = float('-inf'), rows
        if foreground:
            value = (rows - mean) @ first
            threshold = otsu(value)
            border = torch.cat([border_of(m) for m in maps])
            above = value > threshold
            # of the rarer side on the border is the foreground
            if above[border].double().mean() > above.double().mean():
                first, threshold, above = -first, -threshold, value <= threshold
            kept = rows[above] if int(above.sum()) > 1 else rows
        center = kept.mean(0)
        axes = principal_axes(kept - center, 3)
        ends = (kept - center) @ axes.T
        return cls(mean, first, threshold, center, axes, ends.amin(0), ends.amax(0))

    def is_foreground(self, patches: Tensor) -> Tensor:
        """(h, w, D) features -> (h, w) bool."""
        return (patches.double() - self.mean) @ self.first > self.threshold

    def colors(self, patches: Tensor) -> Tensor:
        """(h, w, D) features -> (h, w, 3) uint8 RGB, the background black."""
        ends = (patches.double() - self.center) @ self.axes.T
        shade = (ends - self.low) / (self.high - self.low).clamp_min(1e-12)
        shade = (shade.clamp(0, 1) * 255).round() * self.is_foreground(patches)[..., None]
        return shade.byte()


def border_of(patches: Tensor) -> Tensor:
    """(h, w, D) -> (h * w,) bool, whether a patch lies at the image's border."""
    inner = torch.ones(patches.shape[:2], dtype=torch.bool)
    inner[1:-1, 1:-1] = False
    return inner.flatten()


def colors_of(maps: Sequence[Tensor], foreground: bool = True) -> List[Tensor]:
    """Colors of images on their common basis; see :class:`PatchBasis`."""
    basis = PatchBasis.fit(maps, foreground)
    return [basis.colors(m) for m in maps]
