"""An exponent of measured points: least squares in log-log."""

import math
from typing import NamedTuple, Sequence, Tuple

CLOSE = 0.1  # largest relative deviation of points that follow one power


class Fit(NamedTuple):
    """``y = c x ** exponent``.

    Attributes:
        exponent (float): By least squares.
        error (float): Its standard error; 0 for two points.
        deviation (float): The largest of a point, relative.
        first (float): Exponent between the two smallest points.
        last (float): Exponent between the two largest points.
    """

    exponent: float
    error: float
    deviation: float
    first: float
    last: float

    @property
    def verdict(self) -> str:
        """Whether the points follow one power; otherwise how they do not."""
        if self.deviation <= CLOSE:
            return 'yes'
        if self.last > self.first + CLOSE:
            return f'no: from {self.first:.2f} to {self.last:.2f}'
        return f'no: points up to {self.deviation:.0%} beside it'


def fit(points: Sequence[Tuple[float, float]]) -> Fit:
    """The fit of points (x, y) with x and y above 0, in rising order of x.

    Raises:
        ValueError: Of fewer than two points, or such as have no logarithm.
    """
    if len(points) < 2 or min(min(p) for p in points) <= 0:
        raise ValueError(f'an exponent needs two points above 0, got {list(points)}')
    x, y = ([math.log(p[i]) for p in points] for i in range(2))
    n, mean_x, mean_y = len(points), sum(x) / len(points), sum(y) / len(points)
    spread = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / spread
    rest = [b - mean_y - slope * (a - mean_x) for a, b in zip(x, y)]
    error = math.sqrt(sum(r * r for r in rest) / (n - 2) / spread) if n > 2 else 0.0

    def between(i: int, j: int) -> float:
        return (y[j] - y[i]) / (x[j] - x[i])

    deviation = max(abs(math.expm1(r)) for r in rest)
    return Fit(slope, error, deviation, between(0, 1), between(n - 2, n - 1))
