"""The one place for figures: ``python tools/visualize.py FIGURE --help``."""

import argparse
import importlib

from mssl_plugins.errors import require
from mssl_plugins.visualization import FIGURES


def main(argv=None) -> None:
    """Parses the command line, draws the figure, prints its path."""
    require('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain')
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest='figure', required=True, metavar='FIGURE')
    for name in FIGURES:
        module = importlib.import_module(f'mssl_plugins.visualization.{name}')
        kind = kinds.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(kind)
        kind.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    args.run(args)
    print(f'written: {args.out}')
