"""``python -m mssl_plugins COMMAND``: the tools, from any folder.

There is no console script: with one, `mim` would no longer find the package.
"""

import argparse
import json
import sys
from importlib import import_module
from typing import List, Optional

from mssl_plugins import __version__
from mssl_plugins.catalogue import KEYS, configs, match
from mssl_plugins.errors import run_cli, unknown

# Help is shown from here, without imports that take seconds.
COMMANDS = dict(
    train='pre-train a config, by path or by name',
    list='list the shipped configs',
    channel_statistics='measure mean and standard deviation of the channels of images',
    pack='pack a folder of images into shards',
    quickstart='pre-train on generated images and measure what was learned',
    evaluate="measure a checkpoint by the papers' protocols",
    export="write a checkpoint's backbone for another library",
    extract="write a backbone's features of a set of images",
    knn='measure a frozen backbone with weighted k-NN',
    make_segments='make the segments of a set of images, once',
    make_subset='draw a class-balanced part of a labeled set',
    report='write the report of a run, or of several side by side',
    test='test a checkpoint as its config says',
    visualize='draw masks, views, attention, segments, reconstructions and curves',
)
# They tell mistakes from failures by whether training has begun.
TRAINING = ('train', 'quickstart')


def _list(argv: List[str]) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m mssl_plugins list', description=COMMANDS['list']
    )
    parser.add_argument(
        'pattern',
        nargs='?',
        help="only names that match a pattern such as 'mst*', or contain this text",
    )
    parser.add_argument(
        '--json', action='store_true', help=f'objects with name, path, {", ".join(KEYS)}'
    )
    parser.add_argument('--method', help='only configs of this method')
    args = parser.parse_args(argv)
    chosen = {entry['name'] for entry in match(args.pattern)}
    found = [entry for entry in configs(args.method) if entry['name'] in chosen]
    if args.json:
        print(json.dumps(found, indent=2))
        return
    columns = ('name', 'base', 'data', 'epochs', 'expected')
    rows = [columns] + [tuple('' if e[c] is None else str(e[c]) for c in columns) for e in found]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print('  '.join(c.ljust(w) for c, w in zip(row, widths)).rstrip())


def main(argv: Optional[List[str]] = None) -> int:
    """Runs a command.

    Args:
        argv (List[str], optional): The command line. Defaults to None, the
            process's own.

    Returns:
        int: The exit status.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ['--version']:
        print(__version__)
        return 0
    if not argv or argv[0] in ('-h', '--help'):
        print('usage: python -m mssl_plugins COMMAND ...\n')
        for name, what in COMMANDS.items():
            print(f'  {name:14}{what}')
        return 0 if argv else 2
    command, rest = argv[0], argv[1:]
    if command == 'list':
        return run_cli(lambda: _list(rest))
    if command not in COMMANDS:
        return run_cli(lambda: _refuse(command))
    modules = []
    status = run_cli(lambda: modules.append(import_module(f'mssl_plugins.commands.{command}')))
    if status or command in TRAINING:
        return status or modules[0].main(rest)
    return run_cli(lambda: modules[0].main(rest))


def _refuse(command: str) -> int:
    print(f'error: {unknown(command, COMMANDS, "command")}', file=sys.stderr)
    return 2
