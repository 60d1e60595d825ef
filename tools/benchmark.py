"""Our speed beside what a user would pick instead.

    python tools/benchmark.py                        # every line, writes docs/benchmarks.md
    python tools/benchmark.py --only views --json out.json
    python tools/benchmark.py --device cuda          # every step on a GPU, goes on where it stopped

Both sides of a line run in turn in one process (A B A B ...), so that a change
of the machine's speed meets both; the medians are quoted with the spread
between the quartiles. The lines stand in ``tools/benchmarks/``, one file a
topic; ``--only`` takes a topic, or a part of a line's name.  With ``--device``
our steps alone are measured, in bfloat16, see ``benchmarks/device.py``.
"""

import argparse
import ctypes
import gc
import importlib
import json
import logging
import os
import statistics
import sys
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Callable, Iterable, List, NamedTuple, Optional, Tuple, Union

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / 'tools')]

from mssl_plugins.errors import UserError, run_cli

TOPICS = sorted(
    p.stem
    for p in (ROOT / 'tools/benchmarks').glob('*.py')
    if p.stem != '__init__' and 'LINES' in p.read_text()
)
PAGE = ROOT / 'docs' / 'benchmarks.md'
# words of `beside` -> distributions whose versions are told
PEERS = {
    'torchvision': ['torchvision', 'pillow'],
    'scikit-learn': ['scikit-learn'],
    'lightly': ['lightly', 'timm'],
    'mmpretrain': ['mmpretrain', 'onedl-mmpretrain'],
}


class Line(NamedTuple):
    """One comparison.

    Attributes:
        what (str): What of ours is measured, with sizes.
        beside (str): What it is measured against.
        goal (float | Callable): The ratio to reach, or a function that measures it,
            called before and after the rounds: the mean counts. Ours should be at least
            this many times faster (ratio = theirs / ours), or with ``at_most`` cost at
            most this many times as much (ratio = ours / theirs).
        make (Callable): Returns both sides, ready to be called and timed.
        at_most (bool): Whether the goal is a largest ratio. Defaults to False.
        rounds (int): Counted calls of each side. Defaults to 5.
        threads (int, optional): torch threads, where the line sets them, as 1
            in a loader's worker. Defaults to None, those of ``--threads``.
        bf16 (bool): Whether it is measured only where the processor computes
            bfloat16. Defaults to False.
        memory (bool): Whether memory is measured too, by one more call of each
            side. Defaults to False.
        shares (Callable, optional): Tells of a call the share of its time by kind of
            operator, for a table of the page. Defaults to None.
    """

    what: str
    beside: str
    goal: Union[float, Callable[[], float]]
    make: Callable[[], Tuple[Callable, Callable]]
    at_most: bool = False
    rounds: int = 5
    threads: Optional[int] = None
    bf16: bool = False
    memory: bool = False
    shares: Optional[Callable] = None


def versions(beside: str) -> str:
    """Versions of the packages that a line's other side names."""
    found = []
    for word, packages in PEERS.items():
        for package in packages if word in beside else ():
            try:
                found.append(f'{package} {version(package)}')
            except PackageNotFoundError:  # goes by another name here
                continue
    return ', '.join(found)


def timed(call: Callable) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class _Watch(threading.Thread):
    """Reads the process's memory every few ms until it is told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.samples, self.done = 0, 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.003):
            self.peak, self.samples = max(self.peak, resident()), self.samples + 1


def resident() -> int:
    """Bytes of this process's memory that are no pages of files.

    ``smaps_rollup`` counts them; the sums in ``status`` may be MiB behind.

    Raises:
        UserError: If the system does not tell them.
    """
    for line in Path('/proc/self/smaps_rollup').read_text().split('\n'):
        if line.startswith('Anonymous:'):
            return int(line.split()[1]) * 1024
    raise UserError('this system does not tell how much memory a process has')


def memory(call: Callable) -> float:
    """MiB that one call takes at its peak, beyond what is held between calls.

    For a training step these are the activations, and gradients as far as they exceed
    those of the call before; weights and the optimizer's state are held between calls.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # glibc keeps freed memory
    if trim:
        trim(0)
    before, watch = resident(), _Watch()
    watch.start()
    call()
    watch.done.set()
    watch.join()
    return max(watch.peak - before, 0) / 2**20


def measure(line: Line) -> dict:
    """Times both sides in turn after two calls of each, when memory has settled."""
    wanted = line.goal if callable(line.goal) else lambda: line.goal
    goal, (ours, theirs) = wanted(), line.make()
    for _ in range(2):
        ours(), theirs()
    pairs = [(timed(ours), timed(theirs)) for _ in range(line.rounds)]
    used = [memory(side) for side in (ours, theirs)] if line.memory else [None, None]
    shares = line.shares and line.shares(ours)
    del ours, theirs  # room for the models of the goal
    goal = (goal + wanted()) / 2  # the machine's speed changes: before and after
    a, b = (sorted(p[i] for p in pairs) for i in range(2))
    ratios = sorted(x / y if line.at_most else y / x for x, y in pairs)  # what slows one slows both
    ratio = statistics.median(ratios)
    return dict(
        what=line.what,
        ours=statistics.median(a),
        beside=line.beside,
        theirs=statistics.median(b),
        our_memory=used[0],
        their_memory=used[1],
        ratio=ratio,
        spread=[ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4]],
        goal=f'{"at most" if line.at_most else "at least"} {goal:.3g} x',
        met=ratio <= goal if line.at_most else ratio >= goal,
        shares=shares,
    )


def used(row: dict) -> str:
    """The memory of both sides as text for a line of output; '' if it was not measured."""
    if row['our_memory'] is None:
        return ''
    return f'{row["our_memory"]:.0f} and {row["their_memory"]:.0f} MiB; '


def select(only: Optional[List[str]]) -> List[Line]:
    """Lines of all topics, or those that ``only`` names."""
    found = []
    for topic in TOPICS:
        for line in importlib.import_module(f'benchmarks.{topic}').LINES:
            if not only or any(o == topic or o.lower() in line.what.lower() for o in only):
                found.append(line)
    if not found:
        raise UserError(f'--only {" ".join(only)}: no such line; topics are {", ".join(TOPICS)}')
    return found


def write_page(rows: List[dict]) -> None:
    """docs/benchmarks.md from the newest row of each line."""
    kept = PAGE.with_suffix('.json')
    all_rows = {
        (r['what'], r['beside']): r for r in (json.loads(kept.read_text()) if kept.exists() else [])
    }
    all_rows.update({(r['what'], r['beside']): r for r in rows})
    shipped = [
        (line.what, line.beside) for line in select(None)
    ]  # in their order; what is no line any more goes
    all_rows = {
        key: all_rows[key]
        for key in [*shipped, *((r['what'], r['beside']) for r in rows)]
        if key in all_rows
    }
    kept.write_text(json.dumps(list(all_rows.values()), indent=1) + '\n')
    lines = [
        '# Benchmarks',
        '',
        'Written by `tools/benchmark.py`. Seconds are medians of calls made in turn with the '
        "other side's;",
        'the ratio is the median of the pairs, with quartiles. MiB are what a call takes at its',
        'peak, beyond what is held between calls: of a training step mostly activations. One row: '
        '`python tools/benchmark.py --only WHAT --threads N`,',
        'with a part of its name and the threads that stand beside it.',
        '',
        '| what | seconds | MiB | beside | seconds | MiB | ratio | goal | met '
        '| machine, versions |',
        '| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    ]
    for r in all_rows.values():
        where = '; '.join(filter(None, (r['machine'], r.get('versions'))))
        met = 'yes' if r['met'] else '**no**'
        mine, other = (
            f'{r[key]:,.0f}' if r.get(key) is not None else ''
            for key in ('our_memory', 'their_memory')
        )
        lines.append(
            f'| {r["what"]} | {r["ours"]:.4g} | {mine} '
            f'| {r["beside"]} | {r["theirs"]:.4g} | {other} '
            f'| {r["ratio"]:.2f} ({r["spread"][0]:.2f} - {r["spread"][1]:.2f}) '
            f'| {r["goal"]} | {met} | {where} |'
        )
    lines += share_lines(all_rows.values())
    lines += device_lines()
    notes = ROOT / 'docs' / 'benchmarks-notes.md'
    if notes.exists():
        lines += ['', notes.read_text().rstrip()]
    PAGE.write_text('\n'.join(lines) + '\n')


def share_lines(rows: Iterable[dict]) -> List[str]:
    """The lines of the page on where the time of a row's call goes."""
    lines = []
    for row in rows:
        if row.get('shares'):
            lines += [
                '',
                f'{row["what"]}: share of its {row["ours"]:.4g} s by operator, backward included '
                f"(torch's profiler); {row['beside']} takes {row['theirs']:.4g} s:",
                '',
                f'| {" | ".join(kind for kind, _ in row["shares"])} |',
                f'| {" | ".join("---" for _ in row["shares"])} |',
                f'| {" | ".join(f"{share:.1%}" for _, share in row["shares"])} |',
            ]
    return lines


def device_lines() -> List[str]:
    """The lines of the page with the rows of ``--device cuda``, if there are any."""
    from benchmarks import device

    kept = PAGE.with_name('benchmarks-cuda.json')
    if not kept.exists():
        return []
    found = json.loads(kept.read_text())
    where = found['rows'][0]['machine']
    rates = sorted({f'{row["rate"] / 1e12:.0f}' for row in found['rows']})
    nominal = found['peak'] and 1e12 * found['peak']
    return [
        '',
        f'Steps on a GPU (`python tools/benchmark.py --device cuda`): {where}. Its matrix rate, '
        f'measured in the same runs, is {", ".join(rates)} TFLOP/s'
        + (f', the nominal one {found["peak"]:g}.' if nominal else '.'),
        'MiB are the peak of all tensors; the TFLOP of a step are those of its products and '
        'convolutions, forward and backward.',
        '',
        *device.table(found['rows'], nominal),
    ]


def measure_device(args: argparse.Namespace) -> int:
    """Runs ``--device``: measures rows that are not kept, and with a GPU writes the page.

    Returns 1 if a row failed.
    """
    from benchmarks import device

    device.require(args.device)
    size = args.size or ('gpu' if args.device == 'cuda' else 'cpu')
    minutes = 9.0 if args.minutes is None else args.minutes
    folder = args.keep or ROOT / 'work_dirs/benchmark'
    rows, failed = device.run(args.device, size, args.only, minutes, folder)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + '\n')
    for text in device.table(rows, args.peak and 1e12 * args.peak):
        print(text)
    if args.device == 'cuda' and size == 'gpu' and rows and not (args.only or args.no_page):
        found = json.dumps(dict(peak=args.peak, rows=rows), indent=1)
        PAGE.with_name('benchmarks-cuda.json').write_text(found + '\n')
        write_page([])
    return int(failed > 0)


def parse(argv: Optional[List[str]]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='WHAT',
        help=f"topics ({', '.join(TOPICS)}) or parts of a line's name",
    )
    parser.add_argument('--json', metavar='FILE', help='also write the rows there')
    parser.add_argument(
        '--threads', type=int, default=os.cpu_count(), help='torch threads. Default: all cores'
    )
    parser.add_argument('--list', action='store_true', help='only name the lines')
    parser.add_argument('--no-page', action='store_true', help='leave docs/benchmarks.md as it is')
    device = parser.add_argument_group('steps on one device, in bfloat16, plain and compiled')
    device.add_argument('--device', choices=['cpu', 'cuda'], help='measure them there')
    device.add_argument(
        '--size', choices=['gpu', 'cpu', 'tiny'], help='Default: gpu on a GPU, cpu on a CPU'
    )
    device.add_argument('--minutes', type=float, help='start nothing new after so many. Default: 9')
    device.add_argument(
        '--keep', type=Path, metavar='FOLDER', help='of kept rows. Default: work_dirs/benchmark'
    )
    device.add_argument(
        '--peak', type=float, metavar='TFLOPS', help="the device's nominal rate in bfloat16"
    )
    args = parser.parse_args(argv)
    given = [
        name for name in ('size', 'minutes', 'keep', 'peak') if getattr(args, name) is not None
    ]
    if given and not args.device:
        parser.error(f'--{given[0]} goes with --device')
    if args.minutes is not None and not args.minutes >= 0:
        parser.error(f'--minutes {args.minutes:g}: must be 0 or more')
    if args.peak is not None and not args.peak > 0:
        parser.error(f'--peak {args.peak:g}: must be more than 0')
    if args.threads < 1:
        parser.error(f'--threads {args.threads}: must be 1 or more')
    return args


def main(argv: Optional[List[str]] = None) -> int:
    """Measures the lines asked for and prints or writes them."""
    import torch

    from evidence_tool.pieces import machine
    from mssl_plugins.engine.malloc import keep_freed_memory
    from mssl_plugins.models.layers.precision import computes_bfloat16

    args = parse(argv)
    keep_freed_memory(torch.device(args.device or 'cpu'))  # as our runs do
    if args.device:
        logging.disable(logging.INFO)
        torch.set_num_threads(args.threads)
        return measure_device(args)
    lines = select(args.only)
    if args.list:
        print('\n'.join(line.what for line in lines))
        return 0
    logging.disable(logging.INFO)  # a page of text for each model built
    rows = []
    for line in lines:
        if line.bf16 and not computes_bfloat16('cpu'):
            print(f'{line.what}: not on this processor, which only emulates bfloat16', flush=True)
            continue
        threads = line.threads or args.threads
        torch.set_num_threads(threads)
        row = dict(
            measure(line),
            machine=machine('cpu', f', {threads} thread{"s" if threads > 1 else ""}'),
            versions=versions(line.beside),
        )
        rows.append(row)
        print(
            f'{row["what"]}: {row["ours"]:.4g} s; {row["beside"]}: {row["theirs"]:.4g} s; '
            f'{used(row)}'
            f'ratio {row["ratio"]:.2f} ({row["spread"][0]:.2f} - {row["spread"][1]:.2f}), '
            f'goal {row["goal"]}: {"met" if row["met"] else "NOT met"}',
            flush=True,
        )
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1) + '\n')
    if not args.no_page:
        write_page(rows)
    return 0


if __name__ == '__main__':
    sys.exit(run_cli(main))
