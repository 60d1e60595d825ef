"""docs/scale.json, and the sections of docs/scale.md that are written from it."""

import json
from pathlib import Path
from typing import List, Tuple

from mssl_plugins.files import write_atomically
from reliability.report import write_section
from scaling.fit import fit

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'scale.md'
AXES = ('batch', 'tokens', 'segments', 'queue', 'images', 'processes', 'loader')
MIB = 2**20
NOTE = (
    'Seconds are medians of rounds that pass through the points up and down in turn, each point a '
    'network of its own, beside other work of the machine. MiB are what a step takes at its peak '
    'beyond what is held between steps. The exponent is that of the least squares in the '
    'logarithms, with its standard error. The last column says whether one power fits, with all '
    'points within 10 %; if not, it gives the exponents between the two smallest and the '
    'two largest points: one that rises shows a fixed cost at the small end.'
)


def load() -> dict:
    """All that is kept, by axis."""
    return json.loads(PAGE.with_suffix('.json').read_text())


def keep(axis: str, found: dict) -> None:
    """Replaces the figures of an axis."""
    path = PAGE.with_suffix('.json')
    every = dict(load() if path.exists() else {}, **{axis: found})
    text = json.dumps({name: every[name] for name in AXES if name in every}, indent=1)
    write_atomically(f'{text}\n'.encode(), path)


def short(value: float) -> str:
    """Three digits."""
    return f'{value:,.0f}' if value >= 100 else f'{value:.3g}'


def fits(curve: dict) -> List[Tuple[str, List[float]]]:
    """(name, values) of what a curve has: seconds, and MiB where they are measured."""
    names = curve.get('columns', ['s', 'MiB'])
    return [(name, [p[1 + i] for p in curve['points']]) for i, name in enumerate(names)]


def curve_lines(curve: dict) -> List[str]:
    """Two rows of a table: seconds and memory against the number."""
    lines = []
    for name, values in fits(curve):
        points = [(p[0], value) for p, value in zip(curve['points'], values)]
        seen = [p for p in points if p[1] > 0]  # a call may take no memory of its own
        shown_fit = ' | '
        if len(seen) > 1:
            found = fit(seen)
            shown_fit = f'{found.exponent:.2f} | two points'
            if len(seen) > 2:
                shown_fit = f'{found.exponent:.2f} ± {found.error:.2f} | {found.verdict}'
        shown = '; '.join(f'{x:,}: {short(y)}' for x, y in points)
        lines.append(f'| {curve["what"]} | {name} by {curve["unit"]} | {shown} | {shown_fit} |')
    return lines


def axis_lines(axis: str, found: dict) -> List[str]:
    """Rows of an axis, with their head."""
    if axis == 'loader':
        head = ['| from a JPEG of 500 x 375 px to | images a second, one core |', '| --- | --- |']
        return head + [f'| {name} | {rate:,.0f} |' for name, rate in found['rates'].items()]
    if axis == 'processes':
        head = [
            '| step | wrapper | MB a step and process, computed | measured '
            '| s, 1 process | s, 2 processes | exponent |',
            '| --- | --- | --- | --- | --- | --- | --- |',
        ]
        return head + [
            f'| {r["what"]} | {r["wrapper"]} | {r["computed"] / 1e6:.1f} '
            f'| {r["measured"] / 1e6:.1f} | {r["alone"]:.2f} | {r["seconds"]:.2f} '
            f'| {fit([(1, r["alone"]), (2, r["seconds"])]).exponent:.2f} |'
            for r in found['rows']
        ]
    return [
        '| what | against | points | exponent | one power fits |',
        '| --- | --- | --- | --- | --- |',
        *(line for curve in found['curves'] for line in curve_lines(curve)),
    ]


TITLES = dict(
    batch='Batch',
    tokens='Tokens',
    segments='Segments',
    queue='Queue',
    images='Images of the set',
    processes='Processes',
    loader='Loading',
)
REMARKS = dict(
    tokens='MAE sees a quarter of the patches in its encoder and all in its decoder.',
    images='The points are those of the table above: the time of a first and a second start, and '
    'the memory that two processes keep together.',
    processes='Two processes over gloo, a thread each, one of them beside other work, so their '
    'seconds say little about machines on a network. The exponent is that of seconds by processes '
    'at the same batch a process, from two points: 0 would be an exchange that costs nothing, 1 '
    'no gain over one process. Measured are all bytes through the loopback '
    'device of a network namespace that nobody else uses. A ring of n processes sends '
    '2 (n - 1) / n of the gradients with DDP. FSDP sends (n - 1) / n of the weights of a block '
    'before each forward and each backward pass, and of the gradients; gloo sums gradients of FSDP '
    "as DDP's, which is counted here. DINO sends 8 % more with FSDP than was counted: its "
    "prototypes are gathered four times a step instead of three. MoCo's "
    'shuffled BatchNorm gathers the images of all processes, and its queue their keys.',
    loader='Medians of calls in turn, as in a worker of the loader, files in the cache.',
)


def axes_section() -> List[str]:
    """Of docs/scale.md: all axes that are kept."""
    every = load()
    lines = ['## How cost grows', '', NOTE, '', '```bash', 'python tools/scale.py axes', '```']
    for axis, found in every.items():
        lines += ['', f'### {TITLES[axis]}', '']
        if axis in REMARKS:
            lines += [REMARKS[axis], '']
        lines += [*axis_lines(axis, found), '', f'{found["machine"]}.']
    return lines


def write_axes() -> None:
    """The section of the page."""
    write_section('axes', axes_section(), PAGE)
