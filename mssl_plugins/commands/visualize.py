"""The one place for figures: ``python tools/visualize.py FIGURE --help``."""

import argparse
import importlib

from mssl_plugins.commands.figures import OPTIONS
from mssl_plugins.errors import require
from mssl_plugins.visualization import FIGURES


def main(argv=None) -> None:
    """Parses the command line, draws the figure, prints its path."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest='figure', required=True, metavar='FIGURE')
    for name, what in FIGURES.items():
        OPTIONS[name](kinds.add_parser(name, help=what, description=what))
    args = parser.parse_args(argv)
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    importlib.import_module(f'mssl_plugins.visualization.{args.figure}').run(args)
    print(f'written: {args.out}')
