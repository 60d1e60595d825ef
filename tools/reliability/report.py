"""Sections of docs/reliability.md, each written by the script that measured it."""

import os
import platform
from pathlib import Path
from typing import Sequence

PAGE = Path(__file__).resolve().parents[2] / 'docs/reliability.md'


def measured(command: str, line: str) -> list:
    """The lines that every section has: how it was measured, where, and the figure."""
    machine = f'{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}'
    return [f'`python tools/reliability/{command} --write` ({machine})', '', f'{line}.']


def write_section(name: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Puts a section in the place of its last version, or at the end of the page.

    Args:
        name (str): Name of the script, as in the section's two marks,
            ``<!-- name: begin -->`` and ``<!-- name: end -->``.
        lines (Sequence[str]): The section, its heading first, without the marks.
        page (Path): Markdown. Defaults to docs/reliability.md.

    Raises:
        ValueError: If the page has one of the two marks without the other.
    """
    begin, end = f'<!-- {name}: begin -->', f'<!-- {name}: end -->'
    text = page.read_text(encoding='utf-8')
    section = '\n'.join([begin, *lines, end])
    found = text.count(begin), text.count(end)
    if found == (0, 0):
        text = f'{text.rstrip()}\n\n{section}\n'
    elif found != (1, 1) or text.index(end) < text.index(begin):
        raise ValueError(f'{page}: needs {begin} once, then {end} once, or neither')
    else:
        text = text[: text.index(begin)] + section + text[text.index(end) + len(end) :]
    page.write_text(text, encoding='utf-8')
