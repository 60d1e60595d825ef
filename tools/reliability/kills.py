"""SIGKILLs a run at seeded moments and compares every loss with the undisturbed run's.

    python tools/reliability/kills.py --n 200 --seed 0 --write

Over the methods' shipped configs on generated images, in the epoch and the
iteration loop, with 0 and 2 workers, in one process and two; every second kill
falls while a checkpoint is written.  The runs are forked with all imports
done, so that a kill and a resumption cost seconds.  What a case gave is kept
in work_dirs/reliability: the same command goes on where it was stopped.
Prints one line.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import List, NamedTuple, Sequence

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import tiny_runs
from forked import held
from mssl_plugins.commands.options import positive
from pieces import Pieces
from report import measured, write_section
from tiny_runs import CONFIGS, Run, losses

EPOCHS, EPOCH = 3, 4
STEPS = EPOCHS * EPOCH
LONGEST = 300  # seconds of a run


class Case(NamedTuple):
    """What is trained, and how."""

    config: str
    by_iter: bool
    workers: int
    processes: int


class Count(NamedTuple):
    """What was seen of a case; ``error``: how a run of it failed."""

    kills: int = 0
    saving: int = 0
    losses: int = 0
    different: int = 0
    error: str = ''


def cases(seed: int) -> List[Case]:
    """Every combination, the methods going round first, in a seeded order."""
    rng = random.Random(seed)
    rest = list(itertools.product((False, True), (0, 2), (1, 2)))
    rng.shuffle(rest)
    return [
        Case(config, *rest[(i + j) % len(rest)])
        for j in range(len(rest))
        for i, config in enumerate(CONFIGS)
    ]


def unfinished(work_dir: Path) -> bool:
    """Whether a file is being written there."""
    return any(work_dir.glob('.*.incomplete'))


def held_while_saving(run: Run, work_dir: Path) -> bool:
    """Stops the process that writes; says whether it was still writing then."""
    return held(run.pids[0], lambda: unfinished(work_dir))


def disturb(run: Run, work_dir: Path, saving: bool, rng: random.Random) -> bool:
    """Kills a run while it saves, or after a few steps; False if it ended before.

    Raises:
        TimeoutError: If it does neither for a long time.
    """
    before, until = max(losses(work_dir), default=0), time.monotonic() + LONGEST
    wanted = before + rng.randint(1, max(1, (STEPS - before) // 2))
    skipped, seen = rng.randint(0, 2), False  # files that are let pass
    while run.poll() is None:
        if time.monotonic() > until:
            run.kill()
            raise TimeoutError(f'more than {LONGEST} s: {run.log.read_text()[-1500:]}')
        if saving:
            now = unfinished(work_dir)
            skipped -= now and not seen
            seen = now
            if now and skipped < 0 and held_while_saving(run, work_dir):
                break
            time.sleep(0.0003)
        elif max(losses(work_dir), default=0) >= wanted:
            time.sleep(rng.uniform(0, 0.1))
            break
        else:
            time.sleep(0.01)
    if run.poll() is not None:
        return False
    run.kill()
    return True


def run_case(case: Case, kills: int, seed: int, folder: Path) -> Count:
    """One undisturbed run, and one that is killed and resumed."""
    rng = random.Random(seed)
    config = tiny_runs.write_config(
        folder / 'kills.py',
        case.config,
        steps=EPOCH,
        epochs=EPOCHS,
        by_iter=case.by_iter,
        workers=case.workers,
        processes=case.processes,
    )

    def start(work_dir: Path) -> Run:
        argv = [config, '--no-validate', '--work-dir', work_dir, '--resume']
        return Run(argv, folder, case.processes)

    def finish(work_dir: Path) -> None:
        run = start(work_dir)
        if run.wait(LONGEST):
            raise RuntimeError(run.log.read_text()[-1500:])

    whole, broken = folder / 'whole', folder / 'broken'
    done = saving = 0
    try:
        finish(whole)
        for number in range(kills):
            if disturb(start(broken), broken, bool(number % 2), rng):
                done += 1
                saving += unfinished(broken)
        finish(broken)
    except (RuntimeError, TimeoutError) as error:
        return Count(done, saving, STEPS, STEPS, f'{type(error).__name__}: {error}')
    wanted, found = losses(whole), losses(broken)
    different = sum(found.get(step) != wanted.get(step) for step in range(1, STEPS + 1))
    missing = sorted(set(range(1, STEPS + 1)) - set(wanted))
    return Count(done, saving, STEPS, different, f'no loss at {missing}' if missing else '')


def figure(runs: Sequence[Case], counts: Sequence[Count], seed: int) -> str:
    """One line with what was seen."""
    kills, saving, total, different = (sum(c[i] for c in counts) for i in range(4))
    return (
        f'{kills} SIGKILLs ({saving} while saving) in {len(runs)} runs of '
        f'{len({r.config for r in runs})} configs ({sum(r.by_iter for r in runs)} in the '
        f'iteration loop, {sum(r.workers > 0 for r in runs)} with workers, '
        f'{sum(r.processes > 1 for r in runs)} in two processes), seed {seed}: '
        f"{total - different} of {total} losses equal to the undisturbed runs', "
        f'{sum(bool(c.error) for c in counts)} runs failed'
    )


def main(argv=None) -> int:
    """Runs the cases, prints the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--n', type=int, default=200, help='kills; default: 200')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    parser.add_argument('--per-case', type=int, default=6, help='kills of a run; default: 6')
    parser.add_argument('--seconds', type=positive, help='begin no case after so much time')
    parser.add_argument('--pieces', type=Path, help='folder; default: work_dirs/reliability')
    parser.add_argument('--write', action='store_true', help='write docs/reliability.md')
    args = parser.parse_args(argv)
    pieces = Pieces('kills', dict(seed=args.seed, per_case=args.per_case), args.pieces)
    runs: List[Case] = []
    counts: List[Count] = []
    began = time.monotonic()
    for number, case in enumerate(itertools.cycle(cases(args.seed))):
        done = sum(count.kills for count in counts)
        spent = time.monotonic() - began
        if done >= args.n or (args.seconds and spent > args.seconds):
            break
        kept = pieces.get(number)
        if kept is None:
            tiny_runs.preload()  # which takes seconds the first time
            with tempfile.TemporaryDirectory() as folder:
                kills = min(args.per_case, args.n - done)
                kept = run_case(case, kills, args.seed * 1000 + number, Path(folder))
            pieces.add(number, kept)
            print(case, kept, f'{time.monotonic() - began:.0f} s', file=sys.stderr, flush=True)
        runs.append(case)
        counts.append(Count(*kept))
    line = figure(runs, counts, args.seed)
    print(line)
    if args.write:
        command = f'kills.py --n {args.n} --seed {args.seed}'
        if args.seconds:
            command += f' --seconds {args.seconds:g}'
        write_section('kills', ['## Killed runs', '', *measured(command, line)])
    return int(any(count.different or count.error for count in counts))


if __name__ == '__main__':
    sys.exit(main())
