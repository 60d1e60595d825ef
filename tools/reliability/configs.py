"""Changes one field of a shipped config and trains: python tools/reliability/configs.py --n 1000.

Every method in turn, on 16 images, up to the second iteration or the time
limit.  A mistake has to end in one line that names the field, exit status 2
and no work dir.  Each case is forked from this process, which has imported
what takes seconds.  What a case gave is kept in work_dirs/reliability: with
the same seed the command goes on where it was stopped.  ``--write`` puts the
figures into docs/reliability.md.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault('OMP_NUM_THREADS', '1')
sys.path[:0] = [str(ROOT), str(ROOT / 'tools/reliability')]

import mmpretrain.models  # noqa: F401
import numpy as np
import torch
from mmengine.hooks import Hook
from PIL import Image

from config_mistakes import ILL_TYPED, KINDS, RECIPES, Case, mutate, recipe
from forked import end_group, limit_memory
from mssl_plugins import training  # noqa: F401
from mssl_plugins.commands.options import positive
from mssl_plugins.commands.train import main as train
from mssl_plugins.config_check import resolve as resolve_type
from mssl_plugins.config_tree import nodes
from mssl_plugins.errors import ConfigError
from mssl_plugins.signatures import constructors, fits, hints_of, parameters
from pieces import Pieces
from report import write_section

OUTCOMES = ('runs', 'refused', 'unnamed', 'traceback', 'hang', 'silent')
STARTED = 90  # exit status of a case that reached its second iteration


class Result(NamedTuple):
    """How a case ended: one of OUTCOMES."""

    case: Case
    outcome: str
    text: str


class Stop(Hook):
    """Ends a case that has trained one step and begins the second."""

    def before_train_iter(self, runner, *_, **__) -> None:
        """Leaves at the second iteration."""
        if runner.iter >= 1:
            sys.stdout.flush()
            os._exit(STARTED)


def attempt(cfg: dict, case: Case, seconds: float = 60, memory: int = 6 << 30) -> Result:
    """Trains in a forked process and says how that ended."""
    folder = Path(tempfile.mkdtemp(prefix='mssl-configs-'))
    file, log, work = folder / 'changed.py', folder / 'log.txt', folder / 'run'
    file.write_text(
        'nan = float("nan")\n' + ''.join(f'{key} = {value!r}\n' for key, value in cfg.items())
    )
    log.touch()
    process = os.fork()
    if not process:
        os.setsid()
        out = os.open(log, os.O_WRONLY)
        os.dup2(out, 1), os.dup2(out, 2)
        sys.stdout, sys.stderr = (os.fdopen(os.dup(n), 'w', 1) for n in (1, 2))
        os.chdir(folder)
        limit_memory(memory)
        status = 91
        try:
            status = train([str(file), '--work-dir', str(work)], hooks=[Stop()])
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(status)
    status = _wait(process, seconds)
    text, left = log.read_text(errors='replace'), work.exists()
    shutil.rmtree(folder, ignore_errors=True)
    return judge(cfg, case, status, text, left)


def _spent(process: int) -> float:
    """Seconds that a process has computed."""
    numbers = Path(f'/proc/{process}/stat').read_text().rpartition(')')[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf('SC_CLK_TCK')


def _wait(process: int, seconds: float) -> Optional[int]:
    """The exit status; None after so much of its time, or ten times as much on a busy machine."""
    until = time.monotonic() + 10 * seconds
    while time.monotonic() < until and _spent(process) < seconds:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    end_group(process)
    os.waitpid(process, 0)
    return None


def judge(cfg: dict, case: Case, status: Optional[int], text: str, left: bool) -> Result:
    """What an exit status, the output and a work dir that is left make of a case."""
    errors = [line for line in text.splitlines() if line.startswith('error')]
    if status is None:
        return Result(case, 'hang', text[-500:])
    if status in (0, STARTED):
        nothing = status == 0 and 'step' not in text
        ill_typed = case.kind in ILL_TYPED and not admitted(cfg, case)
        if case.kind.startswith('misspelt') or nothing or ill_typed:
            return Result(case, 'silent', text[-200:])
        return Result(case, 'runs', '')
    if 'Traceback' in text or status not in (1, 2) or len(errors) != 1 or left:
        return Result(case, 'traceback', f'status {status}, work dir left: {left}; {text[-1500:]}')
    line, (parent, _, key) = errors[0], case.path.rpartition('.')
    named = case.path in line
    if case.kind in ('misspelt key', 'removed key'):  # by the name that there is, or is missing
        wrong = str(case.value) if case.kind == 'misspelt key' else key
        named = named or (parent in line and (wrong in line or key in line))
    if key == 'type' and case.value:  # by the field that the class put there does not take
        named = named or (parent in line and str(case.value).split('.')[-1] in line)
    return Result(case, 'refused' if named and status == 2 else 'unnamed', line)


def admitted(cfg: dict, case: Case) -> bool:
    """Whether a class that is built states that a value of this type may stand there."""
    parent, _, key = case.path.rpartition('.')
    for node in nodes(cfg):
        if node.path == parent and node.type is not None:
            try:
                functions = constructors(resolve_type(node))
            except (ConfigError, TypeError):
                return False
            for function in functions:
                default = {p.name: p.default for p in parameters(function)}
                if key in default and (key not in hints_of(function) or default[key] == case.value):
                    return True  # nothing is stated
                if key in default:
                    return fits(case.value, hints_of(function)[key])
            return True
    return case.value is None


def images(folder: Path, count: int = 16) -> Path:
    """A folder of random images of 32 px."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / f'{i}.png')
    return folder


def run(
    n: int,
    seed: int,
    seconds: Optional[float] = None,
    shown: bool = True,
    names: Sequence[str] = RECIPES,
    pieces: Optional[Pieces] = None,
    only: Optional[int] = None,
) -> List[Result]:
    """Up to ``n`` cases, all recipes in turn, as many as the time allows.

    A case depends on the seed and its number alone; those that ``pieces`` has are not done again.
    """
    began, results = time.monotonic(), []
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix='mssl-configs-') as folder:
        data = images(Path(folder) / 'images')
        plain: Dict[str, dict] = {name: recipe(name, data) for name in names}
        for number in range(n) if only is None else [only]:
            if seconds is not None and time.monotonic() - began > seconds:
                break
            kept = pieces.get(number) if pieces else None
            if kept is None:
                name = names[number % len(names)]
                rng = random.Random(f'{seed}-{number}')
                result = attempt(*mutate(plain[name], name, rng))
                if pieces:
                    pieces.add(number, [*result.case[:3], repr(result.case.value), *result[1:]])
            else:
                result = Result(Case(*kept[:4]), *kept[4:])
            results.append(result)
            if shown and (only is not None or result.outcome not in ('runs', 'refused')):
                print(number, result.outcome, *result.case, result.text, sep=' | ', flush=True)
    return results


def figure(results: Sequence[Result], seed: int) -> str:
    """One line with the counts."""
    count = Counter(result.outcome for result in results)
    refused = count['refused'] + count['unnamed']
    return (
        f'{len(results)} changed configs (seed {seed}): {count["runs"]} run, {refused} refused '
        f'in one line, of which {100 * count["refused"] / max(refused, 1):.1f} % name the '
        f'field; {count["traceback"]} tracebacks, {count["hang"]} hangs, {count["silent"]} '
        'accepted silently'
    )


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs the cases; 0 if no case broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--n', type=int, default=1000)
    parser.add_argument('--seed', type=int, default=None, help='default: another one each time')
    parser.add_argument('--seconds', type=positive, help='stop after this time')
    parser.add_argument('--only', type=int, metavar='NUMBER', help='one case, whatever it gave')
    parser.add_argument('--pieces', type=Path, help='folder; default: work_dirs/reliability')
    parser.add_argument('--write', action='store_true', help='into docs/reliability.md')
    args = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    print(f'seed {seed}', file=sys.stderr, flush=True)
    pieces = Pieces('configs', dict(seed=seed), args.pieces) if args.only is None else None
    results = run(args.n, seed, args.seconds, pieces=pieces, only=args.only)
    line = figure(results, seed)
    print(line)
    if args.write:
        table = [
            [k, *(str(sum(r.case.kind == k and r.outcome == o for r in results)) for o in OUTCOMES)]
            for k in KINDS
        ]
        write_section(
            'configs',
            [
                '## Mistakes in a config',
                '',
                f'One field of a shipped config changed, {len(RECIPES)} recipes in turn, each '
                'case a process of its own up to its second iteration on 16 images, 60 s of a core '
                'and 6 GiB at most:',
                f'`python tools/reliability/configs.py --n {len(results)} --seed {seed} --write`.',
                '',
                f'{line}.',
                '',
                '| change | runs | refused, field named | refused, field not named | traceback '
                '| hang | accepted silently |',
                '| --- | --- | --- | --- | --- | --- | --- |',
                *('| ' + ' | '.join(row) + ' |' for row in table),
            ],
        )
    return int(any(r.outcome in ('traceback', 'hang', 'silent') for r in results))


if __name__ == '__main__':
    sys.exit(main())
