"""The one place for pictures: ``python tools/visualize.py PICTURE --help``."""
import argparse
import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mssl_plugins.launch import guarded  # noqa: E402
from mssl_plugins.visualization import PICTURES  # noqa: E402


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest='picture', required=True, metavar='PICTURE')
    for name in PICTURES:
        module = importlib.import_module(f'mssl_plugins.visualization.{name}')
        kind = kinds.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(kind)
        kind.set_defaults(run=module.run)
    args = parser.parse_args(argv)
    args.run(args)
    print(f'written: {args.out}')


if __name__ == '__main__':
    sys.exit(guarded(main))
