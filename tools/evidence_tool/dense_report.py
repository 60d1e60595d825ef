"""The part of docs/evidence.md on dense transfer, by the same statistics."""

from pathlib import Path
from typing import List

import numpy as np

from evidence_tool.claims import LEAST_SEEDS, Judged, conclude
from evidence_tool.dense_runner import best_rate
from evidence_tool.dense_study import (
    FAMILIES,
    RANDOM,
    RATES,
    SEEDS,
    TRANSFERS,
    claims,
    starts,
)
from evidence_tool.kept import Kept, contributions, figure
from evidence_tool.queue import above, paired
from evidence_tool.statistics import compare, compare_resampled
from evidence_tool.study import Claim


def judge_all(kept: Kept) -> List[Judged]:
    """Both claims of each transfer."""
    found = []
    for name, transfer in TRANSFERS.items():
        for better, worse in claims(transfer):
            claim = Claim(
                'Dense transfer',
                f'{transfer.title}: {better} is above {worse}',
                'ours: equal iterations',
                better,
                worse,
                transfer.figure,
                name,
            )
            runs = {v: finals(kept, name, v) for v in (better, worse)}
            pairs = paired(runs)
            passed, values = above(transfer.figure, runs[worse], random=finals(kept, name, RANDOM))
            if worse == RANDOM and passed is not None:
                passed = True  # only a base need be above random weights
            interval = None
            if len(pairs) >= LEAST_SEEDS and passed:
                interval = _interval(runs, pairs, transfer)
            tries = [r for v in runs for r in kept.find(kind='sweep', variant=v, length=name)]
            spent = [*tries, *(r for own in runs.values() for r in own)]
            total = 2 * (len(RATES) + SEEDS)
            found.append(conclude(claim, interval, (passed, values), pairs, spent, total))
    return found


def finals(kept: Kept, transfer: str, start: str) -> List[dict]:
    """Fresh seeds of a start, at the rate that its tries chose."""
    rate = best_rate(kept, transfer, start)
    return [r for r in kept.find(kind='final', variant=start, length=transfer) if r['rate'] == rate]


def _interval(runs, pairs, transfer):
    values = [
        [
            contributions({(r['seed'], r['machine']): r for r in own}[pair], transfer.figure)
            for pair in pairs
        ]
        for own in runs.values()
    ]
    if transfer.figure == 'AP':
        return compare_resampled(*map(np.stack, values), images=transfer.images)
    return compare(*values)


def section(kept: Kept, judged: List[Judged]) -> List[str]:
    """The part of the page."""
    from evidence_tool.report import mean_and_spread, seeds_table, table

    machines = sorted({r['machine'] for r in kept.records})
    weights = '; '.join(
        f'{start} (`{w.config}`)' for family in FAMILIES.values() for start, w in family.items()
    )
    rows = []
    for name, transfer in TRANSFERS.items():
        for start in starts(transfer):
            own = finals(kept, name, start)
            if own:
                rate = best_rate(kept, name, start)
                values = mean_and_spread([figure(r, transfer.figure) for r in own])
                cells = transfer.title, start, f'{rate:g}', transfer.figure, values, len(own)
                rows.append('| ' + ' | '.join(map(str, cells)) + ' |')
    head = "| on | from | learning rate, times the config's | metric | % | seeds |"
    return [
        '## Dense transfer',
        '',
        'Do pre-trained weights, and those of the method beside its base, help detection and '
        'segmentation at equal iterations?',
        '',
        f'- Weights, pre-trained anew for each seed: {weights}; random weights',
        '- Metric: AP of boxes (IoU 0.5-0.95) or mIoU on all test images; AP is resampled over '
        'images, the same resamples for every run',
        f'- Machine: {"; ".join(machines) or "none yet"}',
        '- Command: `python tools/dense_evidence.py`',
        '',
        *([*table(head, rows), ''] if rows else []),
        *seeds_table(judged),
    ]


def of_folder(runs: Path):
    """Kept results and judged claims."""
    kept = Kept(runs / 'dense-cpu')
    return kept, judge_all(kept)
