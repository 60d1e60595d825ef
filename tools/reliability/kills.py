"""SIGKILLs a run at seeded moments and compares every loss with the undisturbed run's.

    python tools/reliability/kills.py --n 20 --seed 0

Over the methods' shipped configs on embedded images, in the epoch and the
iteration loop, with 0 and 2 workers, in one process and two; every second kill
falls while a checkpoint is written.  Prints one line.  ``--write`` puts it
into docs/reliability.md.
"""

import argparse
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Dict, List, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/reliability.md'
CONFIGS = [
    'simclr_resnet18_1xb64-coslr-8e_scenes',
    'mst_vit-mini_1xb64-coslr-6e_scenes',
    'asl_vit-mini_1xb256-coslr-12e_scenes',
    'maskco_resnet18_1xb32-coslr-5e_scenes',
    'mae_vit-mini_1xb256-coslr-12e_scenes',
    'mixmask_simclr_resnet18_1xb64-coslr-8e_scenes',
    'dino_vit-mini_1xb64-coslr-6e_scenes',
    'mask-guided_dino_vit-mini_1xb64-coslr-6e_scenes',
]
STEPS = 12  # 3 epochs of 4
TEXT = """
_base_ = [{base!r}]
epochs = 3
_loop = dict(type='IterBasedTrainLoop', max_iters={steps}, val_interval=1000)
train_cfg = dict(_loop, _delete_=True) if {by_iter} else dict(max_epochs=3)
train_dataloader = dict(batch_size=8, num_workers={workers}, persistent_workers={persistent},
                        dataset=dict(indices={images}))
auto_scale_lr = dict(enable=False)
log_processor = dict(window_size=1, by_epoch={by_epoch})
visualizer = dict(_delete_=True, type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
default_hooks = dict(
    logger=dict(interval=1, log_metric_by_epoch={by_epoch}),
    checkpoint=dict(by_epoch=False, interval=2, max_keep_ckpts=2))
"""


class Case(NamedTuple):
    """What is trained, and how."""

    config: str
    by_iter: bool
    workers: int
    processes: int


class Count(NamedTuple):
    """What was seen."""

    kills: int = 0
    saving: int = 0
    losses: int = 0
    different: int = 0


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


def start(folder: Path, config: Path, work_dir: Path, processes: int) -> subprocess.Popen:
    """A run, in a group of its own."""
    log = open(folder / 'output.txt', 'a')
    command = [
        sys.executable,
        '-m',
        'mssl_plugins',
        'train',
        str(config),
        '--no-validate',
        '--work-dir',
        str(work_dir),
        '--resume',
    ]
    if processes > 1:
        command[1:2] = [
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc_per_node',
            str(processes),
            '-m',
        ]
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    return subprocess.Popen(
        command, cwd=folder, stdout=log, stderr=log, env=env, start_new_session=True
    )


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to every process of the run: torchrun's are in groups of their own."""
    found, todo = [], [process.pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        try:
            todo += map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split())
        except OSError:
            continue
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def losses(work_dir: Path) -> Dict[int, set]:
    """Every loss that a run and its resumptions logged at a step."""
    found: Dict[int, set] = {}
    for file in work_dir.glob('*/vis_data/scalars.json'):
        for line in file.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # the line that SIGKILL cut
                continue
            if 'loss' in row:
                found.setdefault(row['step'], set()).add(row['loss'])
    return found


def run_case(case: Case, kills: int, seed: int, folder: Path) -> Count:
    """One undisturbed run, and one that is killed and resumed.

    Raises:
        RuntimeError: If a run ends with an error.
    """
    from mssl_plugins.catalogue import find

    config, rng = folder / 'kills.py', random.Random(seed)
    config.write_text(
        TEXT.format(
            base=str(find(case.config)),
            steps=STEPS,
            by_iter=case.by_iter,
            by_epoch=not case.by_iter,
            workers=case.workers,
            persistent=case.workers > 0,
            images=32 * case.processes,
        )
    )

    def finish(work_dir: Path) -> None:
        if start(folder, config, work_dir, case.processes).wait():
            raise RuntimeError(f'{case}: {(folder / "output.txt").read_text()[-1500:]}')

    whole, broken = folder / 'whole', folder / 'broken'
    finish(whole)
    done = saving = 0
    for number in range(kills):
        process = start(folder, config, broken, case.processes)
        before = max(losses(broken), default=0)
        wanted = before + rng.randint(1, max(1, (STEPS - before) // 2))
        while process.poll() is None:
            parts = list(broken.glob('.*.incomplete'))
            if parts if number % 2 else max(losses(broken), default=0) >= wanted:
                time.sleep(rng.uniform(0, 0.002 if number % 2 else 0.1))
                break
            time.sleep(0.0005 if number % 2 else 0.01)
        if process.poll() is None:
            kill(process)
            done += 1
            saving += bool(list(broken.glob('.*.incomplete')))
    finish(broken)
    wanted, found = losses(whole), losses(broken)
    different = sum(found.get(step) != values for step, values in wanted.items())
    return Count(done, saving, len(wanted), different)


def main() -> int:
    """Runs the cases, prints the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--n', type=int, default=200, help='kills; default: 200')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    parser.add_argument('--per-case', type=int, default=4, help='kills of a run; default: 4')
    parser.add_argument('--seconds', type=float, help='begin no case after so much time')
    parser.add_argument('--write', action='store_true', help='write docs/reliability.md')
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    total, runs, began = Count(), 0, time.monotonic()
    for number, case in enumerate(itertools.cycle(cases(args.seed))):
        spent = time.monotonic() - began
        if total.kills >= args.n or (args.seconds and spent > args.seconds):
            break
        with tempfile.TemporaryDirectory() as folder:
            count = run_case(
                case,
                min(args.per_case, args.n - total.kills),
                args.seed * 1000 + number,
                Path(folder),
            )
        total, runs = Count(*map(sum, zip(total, count))), runs + 1
        print(case, count, file=sys.stderr, flush=True)
    line = (
        f'{total.kills} SIGKILLs ({total.saving} while saving) in {runs} runs, seed '
        f'{args.seed}: {total.losses - total.different} of {total.losses} losses equal to the '
        f"undisturbed runs'"
    )
    print(line)
    if args.write:
        text = PAGE.read_text() if PAGE.exists() else '# Reliability\n'
        section = (
            f'## Killed runs\n\nWritten by `python tools/reliability/kills.py --n {args.n} '
            f'--seed {args.seed} --write`.\n\n{line}.\n'
        )
        text = re.sub(r'\n*## Killed runs\n.*?(?=\n## |\Z)', '', text, flags=re.S)
        PAGE.write_text(f'{text.rstrip()}\n\n{section}')
    return int(total.different > 0)


if __name__ == '__main__':
    sys.exit(main())
