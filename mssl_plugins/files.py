"""Files that are complete whenever they are seen, and a progress bar."""
import os
import sys
import time
from pathlib import Path
from typing import Iterable, Iterator, Union

TEMPORARY = '.incomplete'


def write_atomically(data: bytes, path: Union[str, Path]) -> None:
    """Writes a file that is complete whenever it is seen under its name.

    Args:
        data (bytes): The contents.
        path (str | Path): Where to; the folder is made if needed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}{TEMPORARY}')
    with open(part, 'wb') as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    os.replace(part, path)


def progress(items: Iterable, total: int, shown: bool = True) -> Iterator:
    """Hands items on and shows how many are done.

    Args:
        items (Iterable): What to go through.
        total (int): How many there are; 0: not known.
        shown (bool): Whether to show anything. Defaults to True.
    """
    if not shown:
        yield from items
        return
    from mmengine.utils import ProgressBar
    bar, count, last = ProgressBar(total, file=sys.stdout), 0, time.monotonic()
    try:
        for count, item in enumerate(items, 1):
            yield item
            if time.monotonic() - last > 0.5:
                bar.update(count - bar.completed)
                last = time.monotonic()
    finally:
        if count > bar.completed:
            bar.update(count - bar.completed)
        print()
