"""Writes the report of a run, or of several side by side: tools/report.py RUN [RUN ...]."""

import argparse
import sys
from typing import Optional


def main(argv=None) -> Optional[int]:
    """Parses the command line, writes the page, prints its path; 1 if a folder holds no run."""
    parser = argparse.ArgumentParser(
        prog='report.py',
        description='One HTML file, which needs nothing else, of what a run trained, how it '
        'went and what it learned; several runs are compared.',
        epilog='Every run writes its own when it ends. A mistake gets one line; '
        'MSSL_TRACEBACK=1 shows where.',
    )
    parser.add_argument('runs', nargs='+', metavar='RUN', help='the work dir of a run')
    parser.add_argument(
        '--out', metavar='FILE', help='default: RUN/report.html; for several runs ./report.html'
    )
    args = parser.parse_args(argv)
    from mssl_plugins.report.page import write_report
    from mssl_plugins.report.run import NoRun, read_run

    wrong = 0
    for folder in args.runs:
        try:
            read_run(folder)
        except NoRun as error:
            print(f'error: {error}', file=sys.stderr)
            wrong += 1
    if args.out or wrong < len(args.runs):  # else it would replace the page of other runs
        print(f'written: {write_report(args.runs, args.out)}')
    return int(wrong > 0)
