"""Whether a compiled training is the same: python tools/reliability/compiled.py --write.

Each method's smallest shipped recipe for 20 steps, twice: as `train` runs it,
and as `train --compile` does.  The losses of the two are compared step by step;
graphs, graph breaks and recompilations after the first epoch are counted, and
the time to the end of the first compiled step, without a kept compilation, is
read.  What a run gave is kept in work_dirs/reliability: the same command goes
on where it was stopped.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple, Sequence

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import torch
from mmengine.hooks import Hook

import tiny_runs
from pieces import Pieces
from report import measured, write_section

BOUND = 1e-4  # largest relative difference of a loss
STEPS, EPOCHS = 5, 4
CONFIGS = tiny_runs.CONFIGS
TEXT = (
    "Each method's smallest shipped recipe, 4 epochs of 5 steps, 8 images a step (MoCo 16), on one "
    'thread, with and without `--compile`. The difference is the largest relative difference of a '
    'loss in the 20 steps. The time is from the start of the run (`before_run`) to the end of the '
    'first compiled step, with no compilation kept from an earlier run; on a CPU a teacher is not '
    'compiled. '
    '`later` are graphs compiled after the first epoch. ResNets train in float64 here: BatchNorm '
    'over so few images and ReLU enlarge the rounding of float32 to 1e-2 within ten steps, '
    'whenever sums run in another order. '
    "MaskCo's attention is written out, because torch cannot compile the fused one of a CPU in "
    'float64.'
)


class Compiled(NamedTuple):
    """What the compiled training of one method showed.

    Attributes:
        difference (float): Largest relative difference of a loss from the plain run's.
        seconds (float): Time from ``before_run`` to the end of the first compiled step.
        graphs (int): Graphs compiled in the first epoch.
        later (int): Graphs compiled after it.
        breaks (int): Graph breaks.
    """

    difference: float
    seconds: float
    graphs: int
    later: int
    breaks: int


class Double(Hook):
    """Trains in float64, where torch cannot compile the fused attention of a CPU."""

    def before_train(self, runner) -> None:
        """Converts parameters and statistics in place; the optimizer holds the same ones."""
        runner.model.double()
        torch.backends.cuda.enable_flash_sdp(False)  # holds for a CPU's attention too


class Count(Hook):
    """Writes what was compiled in each epoch, and the seconds of the first step."""

    priority = 'LOWEST'

    def __init__(self, file: Path) -> None:
        self.file, self.graphs, self.seconds = file, [], None

    def before_run(self, runner) -> None:
        """Starts the clock, before blocks are marked."""
        self.began = time.monotonic()

    def after_train_iter(self, runner, batch_idx, *_, **__) -> None:
        """Stops the clock after the first step."""
        self.seconds = self.seconds or time.monotonic() - self.began

    def after_train_epoch(self, runner) -> None:
        """Counts the graphs up to here."""
        from mssl_plugins.engine.hooks.compile_hook import compiled_graphs, graph_breaks

        self.graphs.append(compiled_graphs())
        self.breaks = graph_breaks()

    def after_train(self, runner) -> None:
        """Writes what was counted."""
        self.file.write_text(json.dumps([self.seconds, self.graphs, self.breaks]))


def run(name: str, folder: Path, hooks: Sequence = (), extra: Sequence[str] = ()) -> Dict:
    """Trains a shipped config's short form; returns the losses by step.

    Raises:
        RuntimeError: If the run ends with an error.
    """
    folder.mkdir()
    config = tiny_runs.write_config(folder / 'short.py', name, STEPS, EPOCHS, save=1000)
    argv = [config, '--no-validate', '--work-dir', folder / 'run', *extra]
    training = tiny_runs.Run(argv, folder, 1, hooks)
    if training.wait(1800):
        raise RuntimeError(f'{name}: {training.log.read_text()[-1500:]}')
    return {
        step: float(json.loads(value))
        for step, (value,) in tiny_runs.losses(folder / 'run').items()
    }


def measure(name: str, folder: Path, hooks: Sequence = (), extra: Sequence[str] = ('--compile',)):
    """Trains a method twice, plain and compiled.

    Args:
        name (str): Name of a shipped config.
        folder (Path): An empty folder.
        hooks (Sequence[Hook]): Hooks of the second run. Defaults to ().
        extra (Sequence[str]): Arguments of the second run. Defaults to ``--compile``.

    Returns:
        Compiled: How the two compare.
    """
    folder.mkdir(exist_ok=True)
    os.environ['TORCHINDUCTOR_CACHE_DIR'] = str(folder / 'cache')
    exact = [Double()] if 'resnet' in name else []
    plain = run(name, folder / 'plain', exact)
    found = run(name, folder / 'compiled', [*exact, *hooks, Count(folder / 'count.json')], extra)
    assert sorted(plain) == sorted(found) == list(range(1, STEPS * EPOCHS + 1))
    seconds, graphs, breaks = json.loads((folder / 'count.json').read_text())
    difference = max(abs(found[i] - plain[i]) / abs(plain[i]) for i in plain)
    return Compiled(difference, seconds, graphs[0], graphs[-1] - graphs[0], breaks)


def table(rows: Sequence) -> List[str]:
    """Markdown: a line for each method."""
    return [
        '| recipe | largest difference | first step | graphs | later | graph breaks |',
        '| --- | ---: | ---: | ---: | ---: | ---: |',
        *(
            f'| {name} | {c.difference:.1e} | {c.seconds:.0f} s | {c.graphs} | {c.later} '
            f'| {c.breaks} |'
            for name, c in rows
        ),
    ]


def main(argv=None) -> int:
    """Runs what is not kept, prints a line each; 1 if any differs, breaks or recompiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--only', nargs='+', metavar='WORD', help='configs with these in their name'
    )
    parser.add_argument('--pieces', type=Path, help='folder; default: work_dirs/reliability')
    parser.add_argument('--write', action='store_true', help='write docs/reliability.md')
    args = parser.parse_args(argv)
    tiny_runs.preload()
    settings = dict(steps=STEPS, epochs=EPOCHS, teachers=False)  # see CompileHook
    pieces, rows = Pieces('compiled', settings, args.pieces), []
    for name in CONFIGS:
        if args.only and not any(word in name for word in args.only):
            continue
        found = pieces.get(name)
        if found is None:
            with tempfile.TemporaryDirectory() as folder:
                found = measure(name, Path(folder))
            pieces.add(name, found)
        rows.append((name, Compiled(*found)))
        print(*table(rows[-1:])[2:], flush=True)
    every = [c for _, c in rows]
    wrong = sum(c.difference > BOUND or c.later or c.breaks for c in every)
    line = (
        f'{len(rows)} of {len(CONFIGS)} recipes: losses differ by at most '
        f'{max(c.difference for c in every):.1e}, the slowest first step takes '
        f'{max(c.seconds for c in every):.0f} s, {sum(c.later for c in every)} recompilations '
        f'after the first epoch, {sum(c.breaks for c in every)} graph breaks'
    )
    print(line)
    if args.write:
        text = ['## Compiled steps', '', *measured('compiled.py', line), '', TEXT, '', *table(rows)]
        write_section('compiled', text)
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main())
