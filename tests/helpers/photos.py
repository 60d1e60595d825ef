"""Photo recipes trained on a messy folder, for a few steps."""

import re
from pathlib import Path

from helpers.forked import Outcome, train_in_processes
from mssl_plugins import catalogue

# one network a method: the smaller one, which `photos/METHOD` means
RECIPES = sorted(
    entry['name']
    for entry in catalogue.configs()
    if entry['data'] == 'photos' and re.search('resnet18|vit-t16', entry['name'])
)
SIZE = '64'


def size_of(name: str) -> str:
    """The smallest views of a recipe: MaskCo's masked box has at least 2 x 2 cells of 32 px."""
    return '128' if name.startswith('maskco') else SIZE


def train_photos(
    folder: Path, images: Path, name: str, *argv, epochs: int = 1, processes: int = 1
) -> Outcome:
    """Trains into ``folder/run``; the console's text as a user sees it."""
    given = ('--data', images, '--size', size_of(name), '--epochs', epochs, '--batch-size', 8)
    more = ('--max-bad', '0.1', '--work-dir', folder / 'run', *argv)
    return train_in_processes(folder, processes, name, *given, *more, quiet=True)
