"""The figures that a run drew, reduced to fit a page."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

from PIL import Image

MOST = 24  # figures on a page
SIDE = 800  # px, the longer side at most
BYTES = 60_000  # a PNG of up to this size is taken as it is


class Figure(NamedTuple):
    """An image for a page.

    Attributes:
        title (str): What it shows, and when.
        file (str): Its name below the run's folder.
        data (str): Its content, as a ``data:`` address.
        width, height (int): In px.
    """

    title: str
    file: str
    data: str
    width: int
    height: int


def figures(folder: Path, most: int = MOST) -> Tuple[List[Figure], int]:
    """Figures of a run: those that ``monitor.json`` lists, and the visualizer's.

    Args:
        folder (Path): The run's folder; nothing outside of it is read.
        most (int): At most this many: the first, the last and some evenly in
            between. Defaults to 24.

    Returns:
        tuple[List[Figure], int]: The figures in the order of training, and
        how many there are in all.
    """
    found = sorted(_listed(folder).items(), key=lambda item: (item[1], item[0]))
    if len(found) > most:
        chosen = [found[round(i * (len(found) - 1) / (most - 1))] for i in range(most)]
    else:
        chosen = found
    shown = []
    for path, (when, title) in chosen:
        try:
            shown.append(_figure(folder / path, title, path))
        except (OSError, ValueError, SyntaxError):  # damaged: the page goes without
            continue
    return shown, len(found)


def _listed(folder: Path) -> Dict[str, Tuple[int, str]]:
    """The listed figures: path relative to the folder -> (when, title)."""
    found = {}
    try:
        monitor = json.loads((folder / 'monitor.json').read_text(encoding='utf-8'))
    except (OSError, ValueError):
        monitor = {}
    for name, key, epoch in _names(monitor):
        place = (folder / name).resolve()
        if place.is_relative_to(folder.resolve()) and place.is_file():
            title = key or re.sub(r'[_\W]*\d+$', '', place.stem)
            when = f', epoch {epoch}' if epoch is not None else ''
            found[str(place.relative_to(folder.resolve()))] = (epoch or 0, f'{title}{when}')
    for place in sorted(folder.glob('*/vis_data/vis_image/*.png')):
        match = re.fullmatch(r'(.*?)_(\d+)', place.stem)
        name, step = (match[1], int(match[2])) if match else (place.stem, 0)
        found[str(place.relative_to(folder))] = (step, f'{name}, iteration {step}')
    return found


def _names(node, key: str = '', epoch=None) -> Iterator[Tuple[str, str, int]]:
    """Every name of a PNG in a monitor.json, its key, and the epoch that it stands at."""
    if isinstance(node, dict):
        if isinstance(node.get('epoch'), int):
            epoch = node['epoch']
        for name, value in node.items():
            plain = isinstance(value, str) and name not in ('file', 'path', 'png')
            yield from _names(value, name if plain else key, epoch)
    elif isinstance(node, list):
        for value in node:
            yield from _names(value, '', epoch)
    elif isinstance(node, str) and node.lower().endswith('.png'):
        yield node, key, epoch


def _figure(path: Path, title: str, name: str) -> Figure:
    raw = path.read_bytes()
    with Image.open(io.BytesIO(raw)) as image:
        width, height = image.size
        kind = 'png'
        if len(raw) > BYTES or max(image.size) > SIDE:
            image = image.convert('RGB')
            image.thumbnail((SIDE, SIDE))
            width, height = image.size
            smaller = io.BytesIO()
            image.save(smaller, 'JPEG', quality=75, optimize=True)
            raw, kind = smaller.getvalue(), 'jpeg'
    data = f'data:image/{kind};base64,{base64.b64encode(raw).decode()}'
    return Figure(title, name, data, width, height)
