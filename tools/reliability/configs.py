"""Changes one field of a shipped config and trains: python tools/reliability/configs.py --n 1000.

Every method in turn, on 16 images, up to the second iteration or the time
limit.  A mistake has to end in one line that names the field, exit status 2
and no work dir.  Each case is forked from this process, which has imported
what takes seconds.  What a case gave is kept in work_dirs/reliability: with
the same seed the command goes on where it was stopped.  ``--write`` puts the
figures into docs/reliability.md.
"""

import argparse
import copy
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault('OMP_NUM_THREADS', '1')
sys.path[:0] = [str(ROOT), str(ROOT / 'tools/reliability')]

import mmpretrain.models  # noqa: F401
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from PIL import Image

from mssl_plugins import training  # noqa: F401
from mssl_plugins.catalogue import find
from mssl_plugins.commands.train import main as train
from mssl_plugins.config_check import HOOKS, _names
from mssl_plugins.config_check import resolve as resolve_type
from mssl_plugins.config_tree import nodes, settings
from mssl_plugins.errors import ConfigError
from mssl_plugins.run_config import drop_evaluation
from mssl_plugins.signatures import constructors, fits, hints_of, parameters
from pieces import Pieces
from report import write_section

RECIPES = [
    'dino_vit-mini_1xb64-coslr-6e_cifar10',
    'dino-bn_vit-mini_1xb64-coslr-6e_cifar10',
    'mst_vit-mini_1xb64-coslr-6e_cifar10',
    'mst-random_vit-mini_1xb64-coslr-6e_cifar10',
    'mae_vit-mini_1xb64-coslr-12e_cifar10',
    'asl_vit-mini_1xb64-coslr-12e_cifar10',
    'maskco_resnet18_1xb32-coslr-5e_cifar10',
    'moco_resnet18_1xb64-coslr-8e_cifar10',
    'simclr_resnet18_1xb64-coslr-8e_cifar10',
    'byol_resnet18_1xb64-coslr-8e_cifar10',
    'simsiam_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_moco_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_simclr_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_byol_resnet18_1xb64-coslr-8e_cifar10',
    'mixmask_simsiam_resnet18_1xb64-coslr-8e_cifar10',
    'mask-guided_dino_vit-mini_1xb64-coslr-6e_scenes',
    'mask-guided_mae_vit-mini_1xb64-coslr-12e_cifar10',
]
# Not changed: what a run needs to be a case at all, and what no run reads.
FIXED = {'catalogue', 'custom_imports', 'work_dir', 'launcher'}
OTHERS = ['text', '', 3.7, 5, True, [1], [], dict(a=1)]
SCOPES = ('mssl_plugins', 'mmpretrain', 'mmengine', 'mmdet', 'mmseg')
ILL_TYPED = ('other type', 'none', 'text for number', 'list for scalar', 'inside itself')
KINDS = [
    'misspelt key',
    'misspelt type',
    'other class',
    'other scope',
    'removed key',
    'negative',
    'zero',
    'huge',
    'nan',
    *ILL_TYPED,
]
OUTCOMES = ('runs', 'refused', 'unnamed', 'traceback', 'hang', 'silent')
STARTED = 90  # exit status of a case that reached its second iteration


class Case(NamedTuple):
    """One change of a config: dotted path, kind of change, and what was put there."""

    recipe: str
    path: str
    kind: str
    value: Any


class Result(NamedTuple):
    """How a case ended: one of OUTCOMES."""

    case: Case
    outcome: str
    text: str


def recipe(name: str, images: Path) -> dict:
    """A shipped config on a few images, as plain Python."""
    cfg = Config.fromfile(str(find(name)))
    drop_evaluation(cfg)
    loader = cfg.train_dataloader
    loader.update(batch_size=8, num_workers=0, persistent_workers=False)
    views = [part for part in loader.dataset.pipeline if 'LoadSegments' not in part['type']]
    if 'guided' in name:
        loader.dataset = dict(
            type='mssl_plugins.Scenes', length=16, size=32, segments=True, pipeline=views
        )
    else:
        loader.dataset = dict(
            type='mssl_plugins.ImageFolder', data_root=str(images), pipeline=views
        )
    cfg.train_cfg.max_epochs = 2
    plain = cfg.to_dict()
    return {key: plain[key] for key in plain if key in settings()}


def fields(node: Any, path: Tuple = ()) -> Iterator[Tuple]:
    """Paths of everything in a config, as keys and indices."""
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, (list, tuple))
        else ()
    )
    for key, value in items:
        if path or key not in FIXED:
            yield (*path, key)
            yield from fields(value, (*path, key))


def misspelt(word: str, rng: random.Random) -> str:
    """A word with one letter left out, doubled, or swapped with the next."""
    start = word.rfind('.') + 1
    at = rng.randrange(start, len(word) - 1)
    turned = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    shorter = word[:at] + word[at + 1 :]
    return rng.choice(
        [shorter, word[:at] + word[at] + word[at:], turned if turned != word else shorter]
    )


def changed_type(old: str, kind: str, path: str, cfg: dict, rng: random.Random) -> Optional[str]:
    """Another name of a class in the place of one."""
    if kind == 'misspelt type':
        return misspelt(old, rng)
    if kind == 'other scope':
        return f'{rng.choice([s for s in SCOPES if not old.startswith(s)])}.{old.split(".")[-1]}'
    node = next(node for node in nodes(cfg) if f'{node.path}.type' == path)
    if node.registry is None:
        return None
    return rng.choice(_names(node.registry, node.scope, '.' in old) or [None])


def changed_value(old: Any, key: str, kind: str, rng: random.Random) -> Any:
    """Another value in the place of one; the old one where the kind does not fit it."""
    number = isinstance(old, (int, float)) and not isinstance(old, bool)
    if kind in ('negative', 'zero', 'huge', 'nan', 'text for number') and number:
        return {
            'negative': -abs(old) or -1,
            'zero': type(old)(0),
            'huge': type(old)(10**9),
            'nan': float('nan'),
            'text for number': str(old),
        }[kind]
    if kind == 'none':
        return None
    if kind == 'inside itself':
        return {key: copy.deepcopy(old)}
    if kind == 'list for scalar' and isinstance(old, (int, float, str, bool)):
        return [old]
    if kind == 'other type':
        return rng.choice(
            [
                other
                for other in OTHERS
                if type(other) is not type(old)
                and not (number and isinstance(other, (int, float)))
                and not (isinstance(old, tuple) and isinstance(other, list))
            ]
        )
    return old


def mutate(plain: dict, name: str, rng: random.Random) -> Tuple[dict, Case]:
    """A config with one field changed."""
    while True:
        cfg, kind = copy.deepcopy(plain), rng.choice(KINDS)
        path = rng.choice([p for p in fields(cfg) if isinstance(p[-1], str)])
        dotted, key = '.'.join(map(str, path)), path[-1]
        parent = cfg
        for part in path[:-1]:
            parent = parent[part]
        old = parent[key]
        value: Any = None
        if kind == 'misspelt key':
            # hooks of our own may have any name
            if len(key) < 4 or (path[:-1] == ('default_hooks',) and key not in HOOKS):
                continue
            value = misspelt(key, rng)
            if value in parent:
                continue
            parent[value] = parent.pop(key)
        elif kind == 'removed key':
            del parent[key]
        else:
            if kind in ('misspelt type', 'other class', 'other scope'):
                if key != 'type' or not isinstance(old, str):
                    continue
                value = changed_type(old, kind, dotted, cfg, rng)
            else:
                value = changed_value(old, key, kind, rng)
            if value == old and type(value) is type(old):
                continue
            parent[key] = value
        return cfg, Case(name, dotted, kind, value)


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
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
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
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:  # not yet a group of its own
        os.kill(process, signal.SIGKILL)
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
    parser.add_argument('--seconds', type=float, help='stop after this time')
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
