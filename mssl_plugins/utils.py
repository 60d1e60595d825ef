"""Small helpers that every part may use."""
import difflib
from typing import Iterable, Iterator


def unknown(name: str, allowed: Iterable[str], what: str) -> ValueError:
    """The error for a name that is not among the allowed ones.

    Args:
        name (str): What was given.
        allowed (Iterable[str]): The valid names.
        what (str): What the name stands for, for example ``'mask pattern'``.

    Returns:
        ValueError: To be raised by the caller; says what was given, what is
        allowed and the nearest valid name.

    Example:
        >>> str(unknown('blok', ['block', 'discrete'], 'mask pattern'))
        "unknown mask pattern 'blok': allowed are block, discrete; did you mean 'block'?"
    """
    allowed = sorted(map(str, allowed))
    near = difflib.get_close_matches(str(name), allowed, n=1, cutoff=0.4)
    hint = f"; did you mean '{near[0]}'?" if near else ''
    return ValueError(
        f"unknown {what} '{name}': allowed are {', '.join(allowed)}{hint}")


def each_dict(node) -> Iterator[dict]:
    """Every dict inside a config, the outer ones first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from each_dict(value)


def first_part(dataset: dict) -> dict:
    """A dataset's config, of joined sets (``ConcatDataset``) the first one's."""
    return dataset['datasets'][0] if 'datasets' in dataset else dataset
