"""What a run does when the machine gives out: python tools/reliability/resources.py --write.

Each case takes something from a small run (disk, rights, memory, open files,
a worker, a process, its folder) or signals it, and holds what it says and
leaves against what docs/reliability.md says it does.  Prints one line.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Optional, Sequence

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import tiny_runs
from report import measured, write_section
from resource_cases import CASES
from scene import NotHere


def try_case(name: str) -> List[str]:
    """What does not hold of a case.

    Raises:
        NotHere: If this machine does not let it be made.
    """
    with tempfile.TemporaryDirectory(prefix='mssl-resources-') as folder:
        return CASES[name].try_it(Path(folder))


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Tries every case; 1 if any does something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', choices=CASES, metavar='CASE', help=', '.join(CASES))
    parser.add_argument('--write', action='store_true', help='write docs/reliability.md')
    args = parser.parse_args(argv)
    tiny_runs.preload()
    rows, wrong, not_here = [], 0, 0
    for name in args.only or CASES:
        case, began = CASES[name], time.monotonic()
        try:
            faults = try_case(name)
            seen = 'no' if faults else 'yes'
        except NotHere as error:
            faults, seen = [], f'not tried: {error}'
            not_here += 1
        wrong += bool(faults)
        rows.append(f'| {case.happens} | {case.does} | {seen} |')
        shown = f'{name}: {seen} [{time.monotonic() - began:.0f} s]'
        print(shown, *faults, sep='\n  ', file=sys.stderr, flush=True)
    line = (
        f'{len(rows)} cases of a machine that gives out or a signal: {wrong} end otherwise than '
        f'the table says, {not_here} not tried'
    )
    print(line)
    if args.write:
        table = ['| what happens | what a run does | seen |', '| --- | --- | --- |', *rows]
        write_section(
            'resources', ['## Resources', '', *measured('resources.py', line), '', *table]
        )
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
