"""Every training step on one device in bfloat16, plain and compiled, and the views of a batch.

What ``tools/benchmark.py --device`` runs.  Each case is kept as it ends; the
same command goes on with the next one.
"""

import gc
import time
from functools import lru_cache
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch

from benchmark import memory
from benchmarks.compiled import compiled
from benchmarks.operations import operations
from benchmarks.steps import Step, steps
from benchmarks.views import MOCO
from evidence_tool.pieces import Clock, machine, require_gpu
from mssl_plugins.errors import ConfigError, memory_refused
from mssl_plugins.models.preprocessor import ViewPreprocessor
from reliability.pieces import Pieces

SIDE = dict(gpu=8192, cpu=2048, tiny=256)  # of the square matrices whose product gives the rate
VIEWS = dict(gpu=((32, 512), (64, 512), (224, 64)), cpu=((32, 256), (64, 256)), tiny=((32, 16),))
GROUPS, GROUP_SECONDS = 3, dict(gpu=1.0, cpu=1.0, tiny=0.0)
FIRST = ('MAE', 'ASL', 'DINO', 'MST')  # whose utilization is asked for
EXPECTED = dict(plain=15.0, compiled=90.0)  # seconds of a case before any is known


class Case(NamedTuple):
    """What one row measures.

    Attributes:
        what (str): Method or views, and sizes.
        compiled (bool): Whether blocks are compiled.
        images (int): Images of a call.
        step (Step, optional): The training step; None for views.
        px (int): Side of the views. Defaults to 0.
    """

    what: str
    compiled: bool
    images: int
    step: Optional[Step]
    px: int = 0

    @property
    def name(self) -> str:
        """The name under which its row is kept."""
        return f'{self.what}, compiled' if self.compiled else self.what


def cases(size: str) -> List[Case]:
    """All cases of a size, the most wanted first."""
    found = list(steps(size).values())
    found.sort(key=lambda s: FIRST.index(s.method) if s.method in FIRST else len(FIRST))
    views = [
        Case(f'views of a batch: {number} images, 2 x {px} px', False, number, None, px)
        for px, number in VIEWS[size]
    ]
    plain, later = (
        [Case(step.what, compile_, step.batch, step) for step in found]
        for compile_ in (False, True)
    )
    return [*plain, *views, *later]


def wait(device: str) -> None:
    """Waits until the device has done what it was given."""
    if device == 'cuda':
        torch.cuda.synchronize()


def rate(device: str, size: str) -> float:
    """Operations a second of one product of square matrices in bfloat16."""
    side = SIDE[size]
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    best = float('inf')
    for _ in range(6):
        wait(device)
        start = time.perf_counter()
        for _ in range(5):
            a @ b
        wait(device)
        best = min(best, (time.perf_counter() - start) / 5)
    return 2 * side**3 / best


@lru_cache(maxsize=None)  # once for a step and its compiled form
def counted(step: Step, device: str) -> int:
    """:func:`operations` of a step in bfloat16."""
    return operations(step.ready(amp=True, device=device))


def used(call: Callable[[], None], device: str) -> float:
    """MiB at the peak of a call: of all tensors on a GPU; on a CPU beyond what is held."""
    if device == 'cpu':
        return memory(call)
    wait(device)
    torch.cuda.reset_peak_memory_stats()
    call()
    wait(device)
    return torch.cuda.max_memory_allocated() / 2**20


def views_call(case: Case, device: str) -> Callable[[], None]:
    """Makes views of a batch that lies in memory."""
    images = torch.randint(0, 256, (case.images, 3, case.px, case.px), dtype=torch.uint8)
    whole = ViewPreprocessor(views=[dict(MOCO[0], size=case.px)]).to(device)
    return lambda: whole(dict(inputs=images), training=True)


def timed(call: Callable[[], None], device: str, seconds: float) -> List[float]:
    """Seconds of a call in each group of calls; a group takes about ``seconds``."""
    start = time.perf_counter()
    call()
    wait(device)
    calls = max(1, min(50, round(seconds / (time.perf_counter() - start))))
    found = []
    for _ in range(GROUPS):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        wait(device)
        found.append((time.perf_counter() - start) / calls)
    return sorted(found)


def measure(case: Case, device: str, size: str) -> dict:
    """Measures a case; returns its row."""
    count = counted(case.step, device) if case.step and case.step.method in FIRST else None
    release(device)
    if case.step is None:
        call = views_call(case, device)
    elif case.compiled:
        call = compiled(case.step, True, device)
    else:
        call = case.step.ready(amp=True, device=device)
    start = time.perf_counter()
    call()
    wait(device)
    first = time.perf_counter() - start
    call()
    low, middle, high = timed(call, device, GROUP_SECONDS[size])
    return dict(
        seconds=middle,
        spread=[low, high],
        first=first,
        images_a_second=case.images / middle,
        memory=used(call, device),
        operations=count,
    )


def release(device: str) -> None:
    """Gives back the memory of tensors that are gone."""
    gc.collect()
    if device == 'cuda':
        torch.cuda.empty_cache()


def require(device: str) -> None:
    """Refuses a device that torch does not have here.

    Raises:
        ConfigError: If it is not there.
    """
    if device == 'cuda':
        require_gpu('--device cuda')


def select(size: str, only: Optional[Sequence[str]]) -> List[Case]:
    """Cases whose name has one of these parts; all of them for None.

    Raises:
        ConfigError: If no case has one of them.
    """
    every = cases(size)
    found = [c for c in every if not only or any(o.lower() in c.name.lower() for o in only)]
    if not found:
        names = ', '.join(dict.fromkeys(c.step.method for c in every if c.step))
        raise ConfigError('', f'--only {" ".join(only)}: no such row; steps are of {names}')
    return found


def run(
    device: str, size: str, only: Optional[Sequence[str]], minutes: float, folder: Path
) -> Tuple[List[dict], int]:
    """Measures what is not kept yet, until the time is up; returns rows and how many failed."""
    clock, found = Clock(minutes), select(size, only)
    where = machine(device, ', bfloat16')
    kept = Pieces(f'steps-{device}', dict(machine=where, size=size), folder)
    left = [case for case in found if kept.get(case.name) is None]
    failed: Dict[str, str] = {}
    peak = rate(device, size) if left else None
    expected = dict(EXPECTED)
    for case in left:
        kind = 'compiled' if case.compiled else 'plain'
        if clock.left < expected[kind]:
            break
        begin = time.monotonic()
        try:
            row = measure(case, device, size)
        except Exception as error:  # one of them, the others are worth their time
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())[:300]
            if not memory_refused(error):
                failed[case.name] = reason
                print(f'{case.name}: failed, {reason}', flush=True)
                continue
            row = dict(failed='out of memory')
        finally:
            release(device)
        expected[kind] = max(expected[kind], time.monotonic() - begin)
        row.update(what=case.what, compiled=case.compiled, rate=peak, machine=where)
        kept.add(case.name, row)
        print(line(row), flush=True)
    rows = [kept.get(case.name) for case in found if kept.get(case.name) is not None]
    missing = len(found) - len(rows)
    if missing:
        print(
            f'{missing} of {len(found)} rows are left ({len(failed)} failed): the same command '
            f'goes on, {kept.path} keeps the others',
            flush=True,
        )
    return rows, len(failed)


def utilization(row: dict, nominal: Optional[float] = None) -> Optional[float]:
    """Fraction of the measured or nominal rate (operations a second) that a step reaches."""
    if not row.get('operations'):
        return None
    return row['operations'] / row['seconds'] / (nominal or row['rate'])


def line(row: dict) -> str:
    """A row as a sentence."""
    name = f'{row["what"]}{", compiled" if row["compiled"] else ""}'
    if 'failed' in row:
        return f'{name}: {row["failed"]}'
    share = utilization(row)
    of = '' if share is None else f', {share:.0%} of the measured matrix rate'
    return (
        f'{name}: {row["seconds"]:.4g} s, {row["images_a_second"]:,.0f} images a second, '
        f'{row["memory"]:,.0f} MiB{of}'
    )


def table(rows: Sequence[dict], nominal: Optional[float] = None) -> List[str]:
    """The rows as lines of Markdown."""
    wide = '| of the nominal rate ' if nominal else ''
    lines = [
        f'| what | compiled | seconds | images/s | MiB | TFLOP | of the measured rate {wide}'
        '| first call, s |',
        f'| --- | --- | --- | --- | --- | --- | --- {"| --- " if nominal else ""}| --- |',
    ]
    for row in rows:
        cells = [row['what'], 'yes' if row['compiled'] else '']
        if 'failed' in row:
            cells += [row['failed'], *[''] * (6 if nominal else 5)]
        else:
            shares = [utilization(row), *([utilization(row, nominal)] if nominal else [])]
            low, high = row['spread']
            cells += [
                f'{row["seconds"]:.4g} ({low:.4g} - {high:.4g})',
                f'{row["images_a_second"]:,.0f}',
                f'{row["memory"]:,.0f}',
                '' if row['operations'] is None else f'{row["operations"] / 1e12:.3g}',
                *('' if share is None else f'{share:.0%}' for share in shares),
                f'{row["first"]:.1f}',
            ]
        lines.append(f'| {" | ".join(cells)} |')
    return lines
