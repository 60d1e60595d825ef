"""A progress bar that writes twice a second, not at every step."""
import sys
import time
from typing import Iterable, Iterator


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
