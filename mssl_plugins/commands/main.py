"""``python -m mssl_plugins COMMAND``: the tools, from wherever one stands.

There is no console script: `mim` would no longer find the package.
"""
import argparse
import json
import runpy
import sys
from pathlib import Path
from typing import List, Optional

from mssl_plugins import __version__
from mssl_plugins.catalogue import KEYS, configs, root
from mssl_plugins.errors import run_cli, unknown

OWN = dict(
    train='pre-train a config, by path or by name',
    list='list the shipped configs',
    quickstart='pre-train on embedded pictures and measure what was learned')


def _tools() -> dict:
    """The Python tools and what each says of itself."""
    found = {}
    for path in sorted((root() / 'tools').glob('*.py')):
        if not path.name.startswith('_') and path.stem not in OWN:
            text = path.read_text(encoding='utf-8').lstrip('"\' \n')
            found[path.stem] = text.split('\n')[0].strip('"\' ').rstrip('.')
    return found


def _list(argv: List[str]) -> None:
    parser = argparse.ArgumentParser(
        prog='python -m mssl_plugins list', description=OWN['list'])
    parser.add_argument('--json', action='store_true',
                        help=f'objects with name, path, {", ".join(KEYS)}')
    parser.add_argument('--method', help='only those of this method')
    args = parser.parse_args(argv)
    found = configs(args.method)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    columns = ('name', *KEYS[1:])
    rows = [columns] + [
        tuple('' if e[c] is None else str(e[c]) for c in columns)
        for e in found
    ]
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
        for name, what in {**OWN, **_tools()}.items():
            print(f'  {name:14}{what}')
        return 0 if argv else 2
    command, rest = argv[0], argv[1:]
    if command == 'train':
        from mssl_plugins.commands.train import main as train
        return train(rest)
    if command == 'quickstart':
        from mssl_plugins.commands.quickstart import main as quickstart
        return quickstart(rest)
    if command == 'list':
        return run_cli(lambda: _list(rest))

    def run() -> None:
        tool: Path = root() / 'tools' / f'{command}.py'
        if not tool.is_file():
            raise unknown(command, {*OWN, *_tools()}, 'command')
        sys.argv = [str(tool), *rest]
        runpy.run_path(str(tool), run_name='__main__')

    return run_cli(run)
