"""The 95 % interval of a difference between two variants, and its verdict.

A study measures two variants with S seeds on the same N test images.  With
d[s, i] what image i adds to the difference in the runs of seed s, the model is

    d[s, i] = delta + seed[s] + image[i] + rest[s, i],

and the mean difference D has the variance

    Var(D) = var_seed / S + var_image / N + var_rest / (S N).

- From seeds: V_S, the sample variance of the S differences over S, estimates
  var_seed / S + var_rest / (S N), with S - 1 degrees of freedom.
- From images: the paired bootstrap (the same images for both variants and all
  seeds) of the difference averaged over seeds has the variance
  V_I = var_image / N + var_rest / (S N); that of each seed's own difference,
  averaged over seeds, is U = (var_image + var_rest) / N.  So
  var_rest / (S N) = (U - V_I) / (S - 1), which V_S holds already, and

    W = max(0, V_I - max(0, U - V_I) / (S - 1))

  is what the choice of images adds.
- Together: D +- sqrt(t^2 V_S + z^2 W), t the 97.5 % quantile of Student's t
  with S - 1 degrees of freedom, z = 1.96.  Exact where one source dominates,
  a little wide in between.

For a mean (top-1) the bootstrap's variance is known in closed form and is used
so; mIoU is resampled.  The verdict on "variant above baseline": the interval
lies above 0: agrees; below: contradicts; else undecided.  An undecided one says
which true difference would have been found in 80 % of repetitions,
sqrt((t + t80)^2 V_S + (z + z80)^2 W) with the 80 % quantiles: an approximation,
5 % too small with three seeds.

A claim that was judged, and judged again with more seeds, was looked at twice.
At look L the interval has the level 1 - 0.05 / L (Bonferroni).  With the first
look at 95 %, at least one of two intervals is wrong in at most 7.5 of 100
studies, the second one in at most 2.5.
"""

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

import numpy as np
from scipy import stats

LEVEL, POWER = 0.95, 0.8
RESAMPLES = 1000
AGREES, CONTRADICTS, UNDECIDED = 'agrees', 'contradicts', 'undecided'


@dataclass(frozen=True)
class Interval:
    """A difference in points with its interval.

    Attributes:
        difference, low, high (float): In points.
        by_seed (tuple): The difference of each seed.
        detectable (float): True difference found in 80 % of repetitions.
        images (int): Test images.
    """

    difference: float
    low: float
    high: float
    by_seed: Tuple[float, ...]
    detectable: float
    images: int

    @property
    def verdict(self) -> str:
        """On the claim that the difference is above 0."""
        return AGREES if self.low > 0 else CONTRADICTS if self.high < 0 else UNDECIDED


def percent(values: np.ndarray, weights: Optional[np.ndarray] = None) -> np.ndarray:
    """A figure in % from what images contribute.

    Args:
        values (np.ndarray): (N,) right or wrong, for top-1; or (N, C, 2)
            counts of pixels in intersection and union of each class, for mIoU
            (classes without a pixel are left out).
        weights (np.ndarray, optional): (B, N) how often each image counts.
            Defaults to None: once.

    Returns:
        np.ndarray: Scalar, or (B,).
    """
    values = np.asarray(values, np.float64)
    whole = weights is None
    weights = np.ones((1, len(values))) if whole else np.asarray(weights, np.float64)
    if values.ndim == 1:
        found = weights @ values / weights.sum(1)
    else:
        sums = (weights @ values.reshape(len(values), -1)).reshape(-1, *values.shape[1:])
        inside, union = sums[..., 0], sums[..., 1]
        there = union > 0
        ratio = np.divide(inside, union, out=np.zeros_like(union), where=there)
        found = ratio.sum(1) / np.maximum(there.sum(1), 1)
    found = 100 * found
    return found[0] if whole else found


def draws(images: int, resamples: int, seed: int = 0) -> np.ndarray:
    """(B, N) how often each image is drawn: the same for every run on these images."""
    return np.random.default_rng(seed).multinomial(
        images, np.full(images, 1 / images), size=resamples
    )


def _image_variances(plus: np.ndarray, minus: np.ndarray, seed: int) -> Tuple[float, float]:
    """Bootstrap variances (V_I, U) of the docstring, in squared points."""
    count = plus.shape[1]
    if plus.ndim == 2:
        d = 100 * (plus.astype(np.float64) - minus)
        return d.mean(0).var() / count, float(d.var(1).mean() / count)
    drawn = draws(count, RESAMPLES, seed)
    d = np.stack([percent(a, drawn) - percent(b, drawn) for a, b in zip(plus, minus)])
    return d.mean(0).var(ddof=1), float(d.var(1, ddof=1).mean())


def compare(
    plus: Sequence[np.ndarray],
    minus: Sequence[np.ndarray],
    beyond: Optional[Tuple[Sequence, Sequence]] = None,
    seed: int = 0,
    looks: int = 1,
) -> Interval:
    """Variant minus baseline, seed by seed on the same images.

    Args:
        plus (Sequence[np.ndarray]): What the test images contribute to the
            variant, see :func:`percent`, one array a seed.
        minus (Sequence[np.ndarray]): To the baseline, same seeds and images.
        beyond (tuple, optional): Another such pair, whose difference is taken
            off (top-1 only). Defaults to None.
        seed (int): Seed of the resamples. Defaults to 0.
        looks (int): How often this was judged, this time included. Defaults to 1.

    Returns:
        Interval: In points.

    Raises:
        ValueError: If there are fewer than 2 seeds, or shapes differ.
    """
    groups = [plus, minus, *(beyond or ())]
    if len({len(g) for g in groups}) > 1 or len(plus) < 2:
        raise ValueError(
            'an interval needs as many runs of each variant, 2 or more, got '
            f'{[len(g) for g in groups]}'
        )
    if len({np.shape(v) for g in groups for v in g}) > 1:
        raise ValueError(
            'all runs must be measured on the same images, got shapes '
            f'{sorted({np.shape(v) for g in groups for v in g})}'
        )
    groups = [np.stack([np.asarray(v, np.float64) for v in g]) for g in groups]
    if beyond is not None:
        if groups[0].ndim != 2:
            raise ValueError('a difference of differences is known for top-1 only')
        groups = [groups[0] + groups[3], groups[1] + groups[2]]
    by_seed = np.array([percent(a) - percent(b) for a, b in zip(*groups)])
    of_images = _image_variances(*groups, seed)
    return combine(by_seed, *of_images, images=groups[0].shape[1], looks=looks)


def compare_resampled(plus: np.ndarray, minus: np.ndarray, images: int) -> Interval:
    """Variant minus baseline for a figure that is no sum over images (AP), from resamples.

    Args:
        plus (np.ndarray): (S, 1 + B) the variant's figure in %, by seed: on the
            whole set, then on resamples of it.
        minus (np.ndarray): (S, 1 + B) the baseline's, on the same resamples.
        images (int): Test images.

    Returns:
        Interval: In points.

    Raises:
        ValueError: If there are fewer than 2 seeds, or shapes differ.
    """
    if np.shape(plus) != np.shape(minus) or len(plus) < 2:
        raise ValueError(
            'an interval needs as many runs of each variant, 2 or more, got shapes '
            f'{np.shape(plus)} and {np.shape(minus)}'
        )
    d = np.asarray(plus) - np.asarray(minus)
    v_images = d[:, 1:].mean(0).var(ddof=1)
    return combine(d[:, 0], v_images, float(d[:, 1:].var(1, ddof=1).mean()), images)


def combine(
    by_seed: np.ndarray, v_images: float, u_images: float, images: int, looks: int = 1
) -> Interval:
    """The interval from differences by seed and the images' variances."""
    count = len(by_seed)
    v_seeds = by_seed.var(ddof=1) / count
    w = max(0.0, v_images - max(0.0, u_images - v_images) / (count - 1))
    t, z = stats.t(count - 1), stats.norm
    high = 1 - (1 - LEVEL) / looks / 2
    half = np.sqrt(t.ppf(high) ** 2 * v_seeds + z.ppf(high) ** 2 * w)
    seen = np.sqrt(
        (t.ppf(high) + t.ppf(POWER)) ** 2 * v_seeds + (z.ppf(high) + z.ppf(POWER)) ** 2 * w
    )
    mean = by_seed.mean()
    return Interval(
        float(mean),
        float(mean - half),
        float(mean + half),
        tuple(map(float, by_seed)),
        float(seen),
        images,
    )
