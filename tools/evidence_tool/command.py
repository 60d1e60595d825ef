"""The command line of ``tools/evidence.py``."""

import argparse
from pathlib import Path
from typing import List, Optional

from evidence_tool import study as studies
from evidence_tool.study import ROOT, known
from mssl_plugins.commands.options import positive

RUNS = ROOT / 'docs' / 'evidence' / 'runs'


def parse(argv: Optional[List[str]]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog='evidence.py', description='Runs the studies of docs/evidence.md and writes the page.'
    )
    parser.add_argument(
        '--report',
        action='store_true',
        help='only write docs/evidence.md, claims.json and the copies',
    )
    commands = parser.add_subparsers(dest='command')
    run = commands.add_parser('run', help='go on with a study')
    run.add_argument('study', help=f'one of {", ".join(studies.names())}')
    run.add_argument('--size', default='cpu', help='Default: cpu')
    run.add_argument('--minutes', type=positive, help='stop after so many, to go on later')
    run.add_argument(
        '--workers',
        type=int,
        default=1,
        choices=[1, 2],
        help='runs side by side, one thread each. Default: 1',
    )
    run.add_argument('--variants', nargs='+', help='only these')
    run.add_argument('--lengths', nargs='+', help='only these')
    run.add_argument(
        '--data',
        help='folder with packed images; default: $MSSL_DATA, then '
        '../shared/data, then the folders that the configs name',
    )
    run.add_argument('--work-dir', default=str(ROOT / 'work_dirs/evidence'))
    dense = commands.add_parser(
        'dense', help='frozen dense protocols on the checkpoints of a study'
    )
    dense.add_argument('study', help=f'one of {", ".join(studies.names())}')
    dense.add_argument('--size', default='cpu', help='Default: cpu')
    dense.add_argument('--minutes', type=positive, help='start nothing new after so many')
    dense.add_argument('--train', action='store_true', help='train a run whose checkpoint is gone')
    dense.add_argument('--data', help='folder with packed images; default as for run')
    dense.add_argument('--work-dir', default=str(ROOT / 'work_dirs/evidence'))
    status = commands.add_parser('status', help='what is there and what is queued')
    for command in (run, status, dense):
        command.add_argument(
            '--runs', default=str(RUNS), help='kept results. Default: docs/evidence/runs'
        )
    return parser.parse_args(argv)


def main(argv: Optional[List[str]] = None) -> None:
    """``tools/evidence.py ARGUMENTS``."""
    args = parse(argv)
    if args.command == 'run':
        from evidence_tool.runner import run

        sizes = studies.load(args.study)
        study = sizes[known(args.size, sizes, 'size')]
        for variant in args.variants or ():
            known(variant, study.variants, 'variant')
        for length in args.lengths or ():
            known(length, study.lengths, 'length')
        run(args, study, Path(args.runs) / f'{args.study}-{args.size}')
    elif args.command == 'dense':
        from evidence_tool import frozen_dense

        sizes = studies.load(args.study)
        study = sizes[known(args.size, sizes, 'size')]
        frozen_dense.run(args, study, Path(args.runs) / f'{args.study}-{args.size}')
    elif args.command == 'status':
        from evidence_tool.runner import status

        status(Path(args.runs))
    if args.report or args.command in ('run', 'dense'):
        from evidence_tool.report import report

        report()
    elif not args.command:
        raise ValueError('nothing to do: give `run STUDY`, `status` or --report')
