"""Whether a run's memory grows: python tools/reliability/memory.py --write.

Every method for 2,000 iterations of a small network on generated images, with
checkpoints and logs, and one run of 500 iterations in two processes.  The
resident memory, pages of files left out, and what of it is in use are read at
every iteration; of each stretch of iterations the peak counts.  The peaks after
the first quarter and the slope of what is in use are held against bounds.  What
a run gave is kept in work_dirs/reliability: the same command goes on where it
was stopped.
"""

import argparse
import ctypes
import json
import os
import statistics
import sys
import tempfile
import time
from array import array
from itertools import combinations
from pathlib import Path
from typing import List, NamedTuple, Sequence

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
from mmengine.hooks import Hook

import tiny_runs
from mssl_plugins.commands.options import positive
from pieces import Pieces
from report import measured, write_section

RISE = 0.02  # of the first quarter's peak: an allocator takes some MiB at a time
BOUND = 1.0  # KiB in use an iteration: a leak of 2 MiB over 2,000 iterations
OBJECTS = 10.0  # of Python an iteration, 0.6 KiB: what waits for the collector comes and goes
STRETCHES = 20  # peaks of a run
PAGE = os.sysconf('SC_PAGE_SIZE') / 1024  # KiB
PAIR = 'mixmask_moco_resnet18_1xb64-coslr-8e_cifar10'  # gathers keys, trains a queue and a teacher


TEXT = (
    "Each method's smallest shipped recipe, 4 images a step (MoCo 16), checkpoints and logs on. "
    'Read at every iteration: the resident memory without pages of files, what the C library has '
    'in use of it (`mallinfo2`), and the number of Python objects. A run has 20 stretches, of '
    'each the peak counts; a slope is the median of those between any two after the first '
    'quarter. A run grows if its peak after the first quarter is more than '
    f'{100 * RISE:g} % above the one before, or if more than {BOUND:g} KiB or {OBJECTS:g} objects '
    'an iteration are added to what is in use. MMEngine keeps every logged value, which is 16 '
    'bytes each.'
)
# MaskCo at 64 px: an eighth of the width, so that a step takes as long as the others'.
SMALL = """
if _base_.model.type == 'mssl_plugins.MaskCo':
    model = dict(backbone=dict(stem_channels=8, base_channels=8, stem_stride=2),
                 neck=dict(in_channels=64, hidden_channels=16),
                 head=dict(in_channels=64, hid_channels=32, out_channels=16))
"""


class Growth(NamedTuple):
    """How the memory of one process grew.

    Attributes:
        iterations (int): How many there were.
        before (float): Peak of resident memory in the first quarter, in KiB.
        after (float): Peak after it, in KiB.
        slope (float): Growth of the peaks after the first quarter, in KiB an iteration.
        heap (float): Growth of the heap in use, in KiB an iteration.
        objects (float): Growth in Python objects an iteration.
    """

    iterations: int
    before: float
    after: float
    slope: float
    heap: float = 0.0
    objects: float = 0.0

    @property
    def grown(self) -> bool:
        """Whether the peaks, the heap or the objects grew by more than their bound."""
        rise = self.after > (1 + RISE) * self.before
        return rise or self.heap > BOUND or self.objects > OBJECTS


class Heap(ctypes.Structure):
    """``struct mallinfo2``: sizes in bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in 'arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks '
        'keepcost'.split()
    ]


def heap_in_use():
    """A function that gives what malloc has in use, in KiB; 0 where glibc cannot tell."""
    read = getattr(ctypes.CDLL(None), 'mallinfo2', None)  # glibc 2.33
    if read is None:
        return lambda: 0.0
    read.restype = Heap

    def used() -> float:
        found = read()
        return (found.uordblks + found.hblkhd) / 1024

    return used


class Watch(Hook):
    """Writes resident memory and heap in KiB and objects of every iteration into a file."""

    priority = 'LOWEST'

    def __init__(self, file: Path) -> None:
        self.file, self.heap = file, heap_in_use()
        self.seen = [array('d') for _ in range(3)]  # no objects of its own

    def before_train(self, runner) -> None:
        """Gives free pages of the heap back, because a leak into them would go unseen.

        A forked run inherits those of the process that it comes from, up to a GiB.
        """
        trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)  # glibc has it
        if trim is not None:
            trim(0)

    def after_train_iter(self, *_, **__) -> None:
        """Reads memory without pages of files, which depend on what else the machine does."""
        with open('/proc/self/statm') as state:
            _, resident, shared = map(int, state.read().split()[:3])
        now = ((resident - shared) * PAGE, self.heap(), sys.getallocatedblocks())
        for values, value in zip(self.seen, now):
            values.append(value)

    def after_train(self, runner) -> None:
        """Writes what was read."""
        self.file.with_name(f'{self.file.name}.{runner.rank}').write_text(
            json.dumps([list(values) for values in self.seen])
        )


def peaks(seen: Sequence[float]) -> List[float]:
    """The largest value of each stretch."""
    size = len(seen) // STRETCHES
    return [max(seen[i * size : (i + 1) * size]) for i in range(STRETCHES)]


def slope(seen: Sequence[float]) -> float:
    """Growth of a series of 80 values or more for each value, after its first quarter.

    The median of the slopes between any two stretches' peaks (Theil-Sen), so that a
    single jump of the allocator does not count as growth, but steady growth does.
    """
    late = list(enumerate(peaks(seen)))[STRETCHES // 4 :]
    size = len(seen) // STRETCHES
    return statistics.median((b - a) / ((j - i) * size) for (i, a), (j, b) in combinations(late, 2))


def growth(resident: Sequence[float], *others: Sequence[float]) -> Growth:
    """Peaks and slopes of the series of a process.

    Args:
        resident (Sequence[float]): Resident KiB after each iteration, 80 or more.
        *others (Sequence[float]): KiB of the heap in use, and Python objects, after each.

    Returns:
        Growth: Of this process.
    """
    top, quarter = peaks(resident), STRETCHES // 4
    slopes = map(slope, (resident, *others))
    return Growth(len(resident), max(top[:quarter]), max(top[quarter:]), *slopes)


def measure(name: str, iterations: int, processes: int, folder: Path, hooks=()) -> List[Growth]:
    """Trains a shipped config's short form and watches each process.

    Raises:
        RuntimeError: If the run ends with an error.
    """
    config = tiny_runs.write_config(
        folder / 'memory.py',
        name,
        steps=10,
        epochs=-(-iterations // 10),
        batch=4,
        processes=processes,
        log=10,
        save=max(iterations // 10, 1),
    )
    with open(config, 'a') as file:
        file.write(SMALL)
    argv = [config, '--no-validate', '--work-dir', folder / 'run']
    run = tiny_runs.Run(argv, folder, processes, [*hooks, Watch(folder / 'seen')])
    if run.wait(3600):
        raise RuntimeError(f'{name}: {run.log.read_text()[-1500:]}')
    return [growth(*json.loads((folder / f'seen.{i}').read_text())) for i in range(processes)]


def figure(name: str, found: Sequence[Growth]) -> str:
    """One line of a run."""
    per = '; '.join(
        f'{g.before / 1024:.1f} MiB in the first quarter, {g.after / 1024:.1f} MiB after, '
        f'{g.slope:+.2f} KiB an iteration; in use {g.heap:+.2f} KiB and {g.objects:+.2f} objects'
        for g in found
    )
    processes = f', {len(found)} processes' if len(found) > 1 else ''
    return f'{name} ({found[0].iterations} iterations{processes}): {per}'


def table(rows: Sequence) -> List[str]:
    """Markdown: a line for each process of each run."""
    lines = [
        '| run | iterations | peak of the first quarter | peak after | peaks, KiB an iteration '
        '| heap in use, KiB an iteration | objects an iteration |',
        '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
    ]
    for name, found in rows:
        for i, g in enumerate(found):
            which = f'{name}, process {i} of {len(found)}' if len(found) > 1 else name
            lines.append(
                f'| {which} | {g.iterations} | {g.before / 1024:.1f} MiB | '
                f'{g.after / 1024:.1f} MiB | {g.slope:+.2f} | {g.heap:+.2f} | {g.objects:+.2f} |'
            )
    return lines


def main(argv=None) -> int:
    """Runs what is not kept, prints a line each; 1 if any grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--n', type=int, default=2000, help='iterations; default: 2000')
    parser.add_argument('--pair', type=int, default=500, help='of two processes; default: 500')
    parser.add_argument(
        '--only', nargs='+', metavar='WORD', help='configs with these in their name'
    )
    parser.add_argument('--seconds', type=positive, help='begin no run after so much time')
    parser.add_argument('--pieces', type=Path, help='folder; default: work_dirs/reliability')
    parser.add_argument('--write', action='store_true', help='write docs/reliability.md')
    args = parser.parse_args(argv)
    tiny_runs.preload()
    pieces = Pieces('memory', {}, args.pieces)
    rows, start = [], time.monotonic()
    runs = [*((name, args.n, 1) for name in tiny_runs.CONFIGS), (PAIR, args.pair, 2)]
    for name, n, processes in runs:
        if args.only and not any(word in name for word in args.only):
            continue
        key, began = f'{name}, {n}, {processes}', time.monotonic()
        found = pieces.get(key)
        if found is None and args.seconds is not None and began - start >= args.seconds:
            continue
        if found is None:
            with tempfile.TemporaryDirectory() as folder:
                found = measure(name, n, processes, Path(folder))
            pieces.add(key, found)
        rows.append((name, [Growth(*one) for one in found]))
        print(figure(*rows[-1]), f'[{time.monotonic() - began:.0f} s]', flush=True)
    every = [g for _, found in rows for g in found]
    grown = sum(g.grown for g in every)
    line = (
        f'{len(rows)} of {len(runs)} runs, {len(every)} processes: the highest peak after the '
        f'first quarter is {100 * max(g.after / g.before - 1 for g in every):.2f} % above the one '
        f'before, at most {max(g.heap for g in every):.2f} KiB an iteration are added to what is '
        f'in use; {grown} grow'
    )
    print(line)
    if args.write:
        command = f'memory.py --n {args.n} --pair {args.pair}'
        write_section(
            'memory', ['## Memory', '', *measured(command, line), '', TEXT, '', *table(rows)]
        )
    return int(grown > 0)


if __name__ == '__main__':
    sys.exit(main())
