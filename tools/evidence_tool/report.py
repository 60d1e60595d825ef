"""Writes docs/evidence.md, claims.json, the curves and the copies on other pages."""

import json
import re
import statistics
import tempfile
from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from evidence_tool import dense_report, frozen_dense
from evidence_tool import study as studies
from evidence_tool.claims import NOT_MEASURED, NOT_RANKED, Judged, judge_all
from evidence_tool.kept import Kept, figure, random_title
from evidence_tool.queue import GATE, best_rate, finals, gate
from evidence_tool.statistics import UNDECIDED
from evidence_tool.study import ROOT, Study
from mssl_plugins.files import write_atomically

INTRODUCTION = Path(__file__).parent / 'introduction.md'
HEAD = (
    "| paper | claim | source | metric | paper's difference, points "
    '| our difference, points [95 % interval] | verdict | paired seeds | CPU hours |'
)


class Found(NamedTuple):
    """A study at one size with its results."""

    name: str
    size: str
    study: Study
    kept: Kept
    judged: List[Judged]


def collect(runs: Path, folder: Optional[Path] = None) -> List[Found]:
    """All studies with what is kept of them."""
    found = []
    for name in studies.names(folder):
        for size, study in studies.load(name, folder).items():
            kept = Kept(runs / f'{name}-{size}')
            found.append(Found(name, size, study, kept, judge_all(study, kept)))
    return found


def table(head: str, rows: List[str]) -> List[str]:
    """A table of markdown."""
    return [head, '| ' + ' | '.join(['---'] * (head.count('|') - 1)) + ' |', *rows]


def claim_row(judged: Judged) -> str:
    """A claim's row of the first table."""
    claim, found = judged.claim, judged.interval
    paper = '' if claim.paper_difference is None else f'{claim.paper_difference:+.1f}'
    ours = f'{found.difference:+.1f} [{found.low:+.1f}, {found.high:+.1f}]' if found else ''
    verdict = judged.verdict
    if found and claim.looks > 1:
        verdict += f' (look {claim.looks}: its interval is wider)'
    if judged.verdict == UNDECIDED:
        verdict += f'; a true difference of {found.detectable:.1f} or more would be found reliably'
    elif judged.verdict == NOT_RANKED:
        values = judged.values
        needed = max(values[k] for k in ('pixels', 'random') if k in values) + GATE
        runs = f'{values["runs"]} seed{"s"[: values["runs"] != 1]}'
        verdict += (
            f': the baseline reaches {values["base"]:.1f} ({values["figure"]}, {runs}); '
            f'a ranking needs {needed:.1f}'
        )
    elif not found:
        verdict += f' ({judged.done} of {judged.total} runs, learning-rate tries included)'
    return (
        f'| {claim.paper} | {claim.text} | {claim.source} | {claim.figure} | {paper} | {ours} | '
        f'{verdict} | {judged.seeds} | {judged.seconds / 3600:.1f} |'
    )


def shown(found: Found) -> bool:
    """Whether a size belongs on the page: the CPU's always, others with results."""
    return found.size == 'cpu' or bool(found.kept.records)


def claims_table(judged: List[Judged]) -> List[str]:
    """Every paper's claims."""
    return table(HEAD, [claim_row(j) for j in judged])


def in_short(judged: List[Judged]) -> List[str]:
    """How many claims have which verdict, in one sentence for the front page."""
    verdicts = Counter(j.verdict for j in judged)
    names = sorted(set(verdicts) - {NOT_MEASURED}) + [NOT_MEASURED]
    said = ', '.join(f'{verdicts[name]} {name}' for name in names)
    return [f'Of {len(judged)} claims: {said}.']


def mean_and_spread(values: List[Optional[float]]) -> str:
    """Mean and standard deviation over seeds."""
    values = [v for v in values if v is not None]
    if not values:
        return '-'
    spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
    return f'{statistics.mean(values):.1f}{spread}'


def variants_table(found: Found) -> List[str]:
    """Every variant at every length that has runs on fresh seeds."""
    study, kept = found.study, found.kept
    rows = []
    for title, runs in (
        ('raw pixels', kept.find(kind='pixels')),
        *((random_title(v), kept.find(kind='random', variant=v)) for v in study.variants),
    ):
        if runs:
            cells = [
                mean_and_spread(
                    []  # pixels have no EMA copy
                    if title == 'raw pixels' and f.branch == 'teacher'
                    else [figure(r, name) for r in runs]
                )
                for name, f in study.figures.items()
            ]
            rows.append(f'| {title} | | | {" | ".join(cells)} | {len(runs)} | |')
    for length in study.lengths:
        for variant in study.variants:
            runs = finals(study, kept, variant, length)
            if runs:
                cells = [mean_and_spread([figure(r, n) for r in runs]) for n in study.figures]
                minutes = statistics.mean(r['seconds'] for r in runs) / 60
                rows.append(
                    f'| {variant} | {length} | {runs[0]["rate"]:g} | {" | ".join(cells)} | '
                    f'{len(runs)} | {minutes:.0f} |'
                )
    head = (
        f'| variant | images x epochs | learning rate | {" | ".join(study.figures)} | seeds | '
        'CPU minutes a run |'
    )
    return table(head, rows) if rows else []


def about_rates(tries: List[dict], study: Study, used: Optional[float]) -> str:
    """Whether the best try lies at the edge, and the rate that is used if it is another one."""
    if used is None:
        return ''
    best = max(tries, key=lambda r: figure(r, study.figure))['rate']
    rates = [r['rate'] for r in tries]
    said = []
    if best in (min(rates), max(rates)):
        said.append('the best lies at the edge')
    if best != used:
        said.append(f'{used:g} is used')
    return f' ({"; ".join(said)})' if said else ''


def rates_lines(found: Found) -> List[str]:
    """What the learning rates' tries gave, and whether the best lies at the edge."""
    lines = []
    for step in found.study.plan:
        for variant in step.variants:
            tries = found.kept.find(kind='sweep', variant=variant, length=step.sweep or step.length)
            if not tries:
                continue
            listed = ', '.join(
                f'{r["rate"]:g}: {figure(r, found.study.figure):.1f}'
                for r in sorted(tries, key=lambda r: r['rate'])
            )
            said = about_rates(
                tries, found.study, best_rate(found.study, found.kept, variant, step)
            )
            line = f'- Learning rates tried, {variant}, {step.sweep or step.length}: {listed}{said}'
            if line not in lines:
                lines.append(line)
    return lines


def gate_lines(found: Found) -> List[str]:
    """Where each baseline stands at each length."""
    lines = []
    bases = dict.fromkeys(v.base for v in found.study.variants.values())
    for length in found.study.lengths:
        for base in bases:
            passed, values = gate(found.study, found.kept, base, length)
            if passed is not None:
                lines.append(
                    f'- Gate, {base}, {length}, {values["figure"]}: {values["base"]:.1f}; '
                    f'raw pixels {values["pixels"]:.1f}, random weights {values["random"]:.1f}: '
                    f'{"passed" if passed else "not passed, so nothing is ranked"}'
                )
    return lines


def draw_curves(found: Found, folder: Path) -> List[str]:
    """Loss and k-NN over iterations, mean over seeds, a figure a length; its lines."""
    from mssl_plugins.visualization.curves import draw

    lines = []
    for length in found.study.lengths:
        runs = {v: finals(found.study, found.kept, v, length) for v in found.study.variants}
        runs = {
            v: [r['curves'] for r in r_ if r['curves'].get('knn/top1_k20')]
            for v, r_ in runs.items()
        }
        runs = {v: r for v, r in runs.items() if r}
        if not runs:
            continue
        name = f'{found.name}-{found.size}-{length}.png'
        with tempfile.TemporaryDirectory() as scratch:
            folders = {v: _as_log(Path(scratch) / v, curves) for v, curves in runs.items()}
            draw(folders, ['loss', 'knn'], str(folder / name))
        lines += [f'![loss and k-NN against iterations, {length}](evidence/{name})', '']
    return lines


def _as_log(folder: Path, curves: List[Dict[str, list]]) -> str:
    """The mean of several runs' curves as a run's log."""
    lines = []
    for key in curves[0]:
        values: Dict[int, list] = {}
        for curve in curves:
            for step, value in curve.get(key, []):
                values.setdefault(step, []).append(value)
        lines += [
            json.dumps({key: statistics.mean(v), 'step': step})
            for step, v in sorted(values.items())
            if len(v) == len(curves)
        ]
    log = folder / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('\n'.join(lines) + '\n')
    return str(folder)


def seeds_table(judged: List[Judged]) -> List[str]:
    """The differences seed by seed."""
    rows = []
    for j in judged:
        if j.interval:
            by_seed = ', '.join(f'{d:+.1f}' for d in j.interval.by_seed)
            rows.append(
                f'| {j.claim.text} | {j.claim.length} | {j.claim.figure} | {by_seed} | '
                f'{j.interval.detectable:.1f} |'
            )
    head = (
        '| claim | images x epochs | metric | difference, seed by seed | smallest true difference '
        'that would be found reliably |'
    )
    return table(head, rows) + [''] if rows else []


def section(found: Found, folder: Path, drawn: bool) -> List[str]:
    """The part of the page for one study at one size."""
    study = found.study
    machines = sorted({r['machine'] for r in found.kept.records})
    lines = [
        f'## {study.title}, {found.size} size',
        '',
        study.question,
        '',
        f'- Setting: {study.setting}',
        f'- Main metric: {study.figure}',
        f'- Machine: {"; ".join(machines) or "none yet"}',
        f'- Command: `python tools/evidence.py run {found.name} --size {found.size}`',
        *gate_lines(found),
        *rates_lines(found),
        '',
    ]
    if study.notes:
        lines += [study.notes.strip(), '']
    lines += variants_table(found) + [''] if found.kept.records else []
    lines += frozen_dense.section(study, found.kept)
    lines += seeds_table(found.judged)
    if drawn:
        lines += draw_curves(found, folder)
    else:
        lines += [
            f'![loss and k-NN against iterations, {length}](evidence/{p.name})\n'
            for length in study.lengths
            for p in [folder / f'{found.name}-{found.size}-{length}.png']
            if p.exists()
        ]
    told = [
        f'- {j.claim.text} ({j.claim.length}, {j.claim.figure}): {j.claim.explained.strip()}'
        for j in found.judged
        if j.interval and j.verdict != 'agrees' and j.claim.explained
    ]
    if told:
        lines += ['What was tried to explain what is contradicted or undecided:', '', *told, '']
    return lines


def report(
    root: Path = ROOT,
    runs: Optional[Path] = None,
    folder: Optional[Path] = None,
    drawn: bool = True,
) -> None:
    """Writes the page, ``claims.json`` and the copies.

    Args:
        root (Path): Where ``docs`` and the pages are. Defaults to the checkout.
        runs (Path, optional): Kept results. Defaults to None:
            ``docs/evidence/runs`` below ``root``.
        folder (Path, optional): Folder of the studies. Defaults to None: the
            shipped one.
        drawn (bool): Whether to draw the curves anew. Defaults to True.
    """
    docs = Path(root) / 'docs'
    runs = runs or docs / 'evidence' / 'runs'
    all_found = [found for found in collect(runs, folder) if shown(found)]
    dense, dense_judged = dense_report.of_folder(runs)
    judged = [j for f in all_found for j in f.judged] + dense_judged
    short = claims_table(judged)
    lines = [INTRODUCTION.read_text().rstrip(), '', '## Every claim', '', *short, '']
    for found in all_found:
        lines += section(found, docs / 'evidence', drawn)
    lines += dense_report.section(dense, dense_judged)
    text = re.sub(r'\n{3,}', '\n\n', '\n'.join(lines)).rstrip() + '\n'
    write_atomically(text.encode(), docs / 'evidence.md')
    rows = [j.row() for j in judged]
    write_atomically((json.dumps(rows, indent=1) + '\n').encode(), docs / 'evidence/claims.json')
    copy(Path(root) / 'README.md', in_short(judged))
    for found in all_found:
        if found.size == 'cpu':
            own = table(HEAD, [claim_row(j) for j in found.judged])
            copy(
                Path(root) / 'configs' / found.name / 'README.md',
                [*own, '', *variants_table(found)],
            )


def copy(page: Path, lines: List[str]) -> None:
    """Puts ``lines`` between the marks of a page; a page without marks shows none."""
    if page.exists():
        text = '\n'.join(lines).strip()
        page.write_text(
            re.sub(
                '(<!-- evidence -->\n).*(<!-- /evidence -->)',
                lambda m: f'{m[1]}\n{text}\n\n{m[2]}',
                page.read_text(),
                flags=re.DOTALL,
            )
        )
