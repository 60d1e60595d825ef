"""Curves as inline SVG, which takes the page's colors in light and dark."""

import io
import re
from typing import Dict, List, NamedTuple, Sequence, Tuple

#: colors of runs that are told apart in light, dark and gray (Okabe and Ito)
COLORS = ('#0b84c8', '#d55e00', '#009e73', '#cc79a7', '#b8860b', '#7a5cc9', '#5b8f22', '#888888')
DASHES = ('-', '--', '-.', ':')
POINTS = 500  # of a curve
INK = '#010203'  # stands for the page's own color until the SVG is written


class Plot(NamedTuple):
    """A drawn curve.

    Attributes:
        title (str): What it shows.
        svg (str): An ``<svg>`` element.
        text (str): The same in words, for screen readers.
    """

    title: str
    svg: str
    text: str


def thin(points: Sequence[Tuple[int, float]], most: int = POINTS) -> List[Tuple[int, float]]:
    """At most ``most`` points: the first, the last, and some evenly in between."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def plot(
    title: str,
    lines: Dict[str, Sequence[Tuple[int, float]]],
    levels: Dict[str, float] = {},
    number: int = 0,
) -> Plot:
    """Plots lines over iterations, and horizontal lines.

    Args:
        title (str): What it shows.
        lines (Dict[str, Sequence]): (iteration, value) under the line's name.
        levels (Dict[str, float]): Horizontal lines: baselines. Defaults to none.
        number (int): Number of the plot on its page; makes its ids unique.
            Defaults to 0.

    Returns:
        Plot: With one SVG element.
    """
    # here: half a second that a training need not wait for at its start
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = {
        'svg.fonttype': 'none',
        'svg.hashsalt': f'plot {number}',
        'font.size': 9,
        'text.color': INK,
        'axes.edgecolor': INK,
        'axes.labelcolor': INK,
        'xtick.color': INK,
        'ytick.color': INK,
        'text.parse_math': False,
    }
    with rc_context(settings):
        figure = Figure(figsize=(4.6, 2.7))
        FigureCanvasSVG(figure)
        # a layout that is fitted to the labels takes as long as all the rest
        figure.subplots_adjust(left=0.18, right=0.96, bottom=0.17, top=0.91)
        axis = figure.add_subplot()
        for i, (name, points) in enumerate(lines.items()):
            points = thin(points)
            axis.plot(
                [x for x, _ in points],
                [y for _, y in points],
                color=COLORS[i % len(COLORS)],
                linestyle=DASHES[i % len(DASHES)],
                marker='o' if len(points) < 30 else None,
                markersize=3,
                label=_label(name),
            )
        for i, (name, value) in enumerate(levels.items()):
            axis.axhline(
                value, color=INK, linewidth=1, linestyle=(':', '--')[i % 2], label=_label(name)
            )
        axis.set_xlabel('iteration')
        axis.locator_params(axis='x', nbins=5)
        axis.spines[['top', 'right']].set_visible(False)
        axis.grid(alpha=0.2, color=INK)
        if len(lines) + len(levels) > 1:
            axis.legend(frameon=False, fontsize=8, labelcolor=INK)
        written = io.StringIO()
        figure.savefig(written, format='svg', transparent=True, metadata=dict(Date=None))
    svg = written.getvalue()
    svg = svg[svg.index('<svg') :].replace(INK, 'currentColor')
    svg = re.sub(r'<metadata>.*?</metadata>', '', svg, flags=re.S)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', '', svg, count=2)
    # One prefix for all ids, because those of two plots could be equal.
    svg = re.sub(r'\bid="', f'id="p{number}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf'\1p{number}-', svg)
    said = [
        f'{name}: {points[0][1]:.4g} at iteration {points[0][0]}, '
        f'{points[-1][1]:.4g} at iteration {points[-1][0]}'
        for name, points in lines.items()
        if points
    ] + [f'{name}: {value:.4g}' for name, value in levels.items()]
    return Plot(title, svg, '; '.join(said))


def _label(name: str) -> str:
    """A name for the legend, which would hide one with a leading underscore."""
    return f' {name}' if name.startswith('_') else name
