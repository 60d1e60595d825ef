"""Runs a study: one or two runs side by side, until it is done or the time is over."""

import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import List, Optional

from evidence_tool import configs, pieces
from evidence_tool import study as studies
from evidence_tool.kept import Kept, Task, figure
from evidence_tool.queue import chosen_rate, missing
from evidence_tool.study import Study

LEAST_SECONDS = 30  # a piece that is shorter only starts up


class Session:
    """One call of the tool.

    Args:
        args (argparse.Namespace): From the command line.
        study (Study): At the size that was asked for.
        kept (Kept): Its results so far.
    """

    def __init__(self, args, study: Study, kept: Kept) -> None:
        self.args, self.study, self.kept = args, study, kept
        self.clock, self.starting = pieces.Clock(args.minutes), threading.Lock()
        self.data = configs.find_data(args.data)
        self.machine = pieces.machine(study.device)
        self.env = pieces.environment(study.device, 1)
        if self.data:
            self.env['MSSL_DATA'] = str(self.data)
        self.folder = Path(args.work_dir).absolute() / kept.folder.name

    def ready(self) -> List[Task]:
        """Tasks that can start now, of the variants and lengths asked for."""
        found = missing(self.study, self.kept, self.machine)
        args = self.args
        return [
            t
            for t in found
            if t.kind in ('pixels', 'random')
            or (
                t.variant in (args.variants or self.study.variants)
                and t.length in (args.lengths or self.study.lengths)
            )
        ]

    def teacher(self, task: Task) -> Task:
        """The run that a run starts from: of its seed and length, at the rate the tries chose."""
        name, tried = self.study.variants[task.variant].after, task.kind == 'sweep'
        rate = chosen_rate(self.study, self.kept, name, task.length, tried)
        return Task('final', name, task.length, task.seed, rate)

    def _before(self, task: Task) -> Optional[Path]:
        """The checkpoint that a run starts from, trained again if it is gone."""
        if self.study.variants[task.variant].after is None or task.kind == 'random':
            return None
        first = self.teacher(task)
        folder = self.folder / first.name
        if pieces.checkpoint(folder) is None:
            cfg = configs.build(self.study, first, self.data)
            if not pieces.train(cfg, folder, self.clock.left, self.env):
                return None
        return pieces.checkpoint(folder)

    def do(self, task: Task) -> bool:
        """A run to its end, in pieces; False: the time was over."""
        folder = self.folder / task.name
        trained = task.kind in ('sweep', 'final')
        with self.starting:  # two runs may lack the same one
            after = self._before(task)
        if self.study.variants[task.variant].after and trained and after is None:
            return False
        cfg = configs.build(self.study, task, self.data, after)
        folder.mkdir(parents=True, exist_ok=True)
        if trained:
            while True:
                left = min(self.clock.left, 60 * self.study.minutes)
                if left < LEAST_SECONDS:
                    return False
                if pieces.train(cfg, folder, left, self.env):
                    break
        else:
            cfg.dump(folder / 'run.py')
        seconds = pieces.spent(folder) if trained else 0
        size = self.kept.folder.name.rsplit('-', 1)
        record = pieces.measure(*size, task.kind, folder, self.env)
        record.update(machine=self.machine, seconds=round(seconds), threads=1)
        if trained:
            record['curves'] = pieces.curves(folder)
        self.kept.add(task, record)
        return True


def run(args, study: Study, folder: Path) -> None:
    """Goes on with a study."""
    session = Session(args, study, Kept(folder))
    running, over = {}, False
    with ThreadPoolExecutor(args.workers) as pool:
        while True:
            busy = {task.name for task in running.values()}
            for task in session.ready():
                if over or len(running) >= args.workers or session.clock.left < LEAST_SECONDS:
                    break
                if task.name not in busy:
                    print(f'{time.strftime("%H:%M:%S")} {task.kind} {task.name} ...', flush=True)
                    running[pool.submit(session.do, task)] = task
                    busy.add(task.name)
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                task = running.pop(future)
                over = over or not future.result()
                tell(session, task)
    left, more = session.ready(), next(missing(study, session.kept, session.machine), None)
    if left:
        print(f'queued: {len(left)} runs or more; the same command goes on')
    else:
        print(f'every run of these is there{"; the study lacks others" if more else ""}')


def tell(session: Session, task: Task) -> None:
    """A line on a run that ended."""
    found = session.kept.find(**task._asdict())
    if found:
        value = figure(found[0], session.study.figure)
        print(
            f'{time.strftime("%H:%M:%S")} {task.name}: {session.study.figure} {value:.1f} in '
            f'{found[0]["seconds"]:.0f} CPU s',
            flush=True,
        )


def status(runs: Path) -> None:
    """What is there of each study, and what comes next."""
    for name in studies.names():
        for size, study in studies.load(name).items():
            kept = Kept(runs / f'{name}-{size}')
            queue = list(missing(study, kept, pieces.machine('cpu')))
            print(
                f'{name}, {size}: {len(kept.records)} results; next '
                f'{", ".join(t.name for t in queue[:3]) or "nothing"}'
                f'{" ..." if len(queue) > 3 else ""}'
            )
