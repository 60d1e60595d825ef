"""Does a method do what its paper says? Trains the arms of a study and reports.

    python tools/evidence.py mixmask                       # the CPU size
    python tools/evidence.py mixmask --size gpu --device cuda
    python tools/evidence.py mixmask --report              # only write the page

A study (``tools/studies/<name>.py``) names its arms, each a shipped config,
and the paper's claims; arms outside ``headline``, where there is one, are run
with the first seed only; ``short`` are the figures of the page's first table
(default: ``metric``); ``options`` of an arm replace texts in its config, in
which ``{runs}`` is the folder of the study's runs and ``{seed}`` the seed.
Every arm and seed is one run of ``tools/train.py``; its result is kept in
``docs/evidence/<study>-<size>.json`` when it finishes, so that a second call
goes on where the first was stopped, inside a run from its last checkpoint,
and a baseline that two studies share is trained once.
``docs/evidence.md`` is written from these files, and so are the tables of
``README.md`` and of the methods' pages, between ``<!-- evidence -->`` and
``<!-- /evidence -->``.
"""
import argparse
import itertools
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterator, List, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mssl_plugins.catalogue import find  # noqa: E402
from mssl_plugins.errors import UserError, run_cli  # noqa: E402
from mssl_plugins.config import each_dict  # noqa: E402
from mssl_plugins.errors import unknown  # noqa: E402

STUDIES = {p.stem: p for p in sorted((ROOT / 'tools/studies').glob('*.py'))}
RESULTS = ROOT / 'docs' / 'evidence'
PAGE = ROOT / 'docs' / 'evidence.md'


def machine(device: str) -> str:
    """The machine in a few words, for the tables."""
    import torch
    if device == 'cuda':
        return torch.cuda.get_device_name()
    cpu = platform.processor() or platform.machine()
    if Path('/proc/cpuinfo').exists():
        for line in Path('/proc/cpuinfo').read_text().splitlines():
            if line.startswith('model name'):
                cpu = line.split(':')[1].strip()
                break
    return f'{cpu}, {os.cpu_count()} cores, torch {torch.__version__}'


def find_data(given: Optional[str]) -> Optional[Path]:
    """The folder of packed images (``cifar10_train.npz``, ...), if there is one."""
    if given and not Path(given).is_dir():
        raise FileNotFoundError(f'--data {given}: no such folder')
    for place in (given, os.environ.get('MSSL_DATA'), ROOT.parent / 'shared' / 'data'):
        if place and any(Path(place).glob('*_train.npz')):
            return Path(place)
    return None


def use_packed(cfg, data: Path) -> None:
    """Point every dataset whose images lie packed in ``data`` at them."""
    for node in each_dict(cfg._cfg_dict):
        if 'data_root' in node and 'split' in node:
            packed = data / f"{Path(node['data_root']).name}_{node['split']}.npz"
            if packed.exists():
                for key in ('data_root', 'split'):
                    node.pop(key)
                node.update(type='mssl_plugins.PackedImages', ann_file=str(packed))


def last_scalars(work_dir: Path) -> Dict[str, float]:
    """The last value of every scalar that a run (and its resumptions) wrote."""
    values = {}
    for file in sorted(work_dir.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            values.update(json.loads(line))
    return values


def train(config: Path, seed: int, work_dir: Path, data: Optional[Path], device: str,
          threads: int, options: Dict[str, str]) -> Dict[str, float]:
    """One arm with one seed, to the end; goes on from a checkpoint if there is one."""
    from mmengine.config import Config
    cfg = Config.fromfile(config)
    cfg.merge_from_dict({key: value.format(runs=work_dir.parent.absolute(), seed=seed)
                         for key, value in options.items()})
    if data:
        use_packed(cfg, data)
    cfg.randomness = dict(cfg.get('randomness', {}), seed=seed)
    cfg.default_hooks.checkpoint.update(interval=1, max_keep_ckpts=1)
    work_dir.mkdir(parents=True, exist_ok=True)
    cfg.dump(work_dir / 'arm.py')
    env = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    if device == 'cpu':
        env['CUDA_VISIBLE_DEVICES'] = ''
    command = [sys.executable, str(ROOT / 'tools/train.py'), str(work_dir / 'arm.py'),
               '--work-dir', str(work_dir), '--resume', 'auto']
    start = time.time()
    with open(work_dir / 'output.txt', 'a') as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=ROOT).returncode
    spent = work_dir / 'seconds.txt'  # summed over resumptions
    seconds = time.time() - start + (float(spent.read_text()) if spent.exists() else 0)
    spent.write_text(str(seconds))
    if status:
        raise UserError(f'{work_dir.name} ended with status {status}: see {work_dir}/output.txt')
    return dict(last_scalars(work_dir), seconds=seconds)


def probe(study, size: str, work_dir: Path, data: Optional[Path], threads: int) -> Dict[str, float]:
    """The best rows of ``study.probes`` for a finished run, by tools/evaluate.py."""
    probes = study.get('probes')
    if not probes or not data:
        return {}
    out = work_dir / 'probes.json'
    command = [sys.executable, str(ROOT / 'tools/evaluate.py'), (work_dir / 'last_checkpoint').read_text().strip(),
               '--data', str(data / probes.data), '--protocols', probes.protocols, '--out', str(out),
               '--work-dir', str(work_dir / 'probes'), *probes.get('options', {}).get(size, [])]
    with open(work_dir / 'output.txt', 'a') as log:
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT,
                                env=dict(os.environ, OMP_NUM_THREADS=str(threads))).returncode
    if status:
        raise UserError(f'{work_dir.name}: probes ended with status {status}: see {work_dir}/output.txt')
    values = {f'probe/{protocol} {head}': value / 100
              for (protocol, head, _), value in best_rows(json.loads(out.read_text())).items()}
    return {key: values[key] for key in probes.show}


def best_rows(rows: List[dict]) -> Dict[tuple, float]:
    """(protocol, what is read, metric) -> %: of a sweep of rates the best counts."""
    best = {}
    for row in rows:
        head = row['setting'].split(',')[0]
        if not head.startswith('best of'):  # a summary of the rows above it
            key = row['protocol'], head, row['metric']
            best[key] = max(best.get(key, 0.), row['value'])
    return best


# ------------------------------------------------------------------- report
def spread(values: List[float]) -> str:
    if not values:
        return '-'
    mean = 100 * statistics.mean(values)
    return f'{mean:.1f} ± {100 * statistics.stdev(values):.1f}' if len(values) > 1 else f'{mean:.1f}'


def shown_name(key: str) -> str:
    return key[6:] if key.startswith('probe/') else 'k-NN'


def grouped(study, records: List[dict]) -> Dict[str, List[dict]]:
    """The runs of each arm that has any, in the study's order."""
    by_arm = {a: [r for r in records if r['arm'] == a] for a in study.arms}
    return {a: r for a, r in by_arm.items() if r}


def comparisons(study, by_arm: Dict[str, List[dict]], keys: List[str]) -> Iterator[tuple]:
    """(better, worse, source, key, differences in % by seed, verdict) of each claim that was run."""
    for (better, worse, source), key in itertools.product(study.claims, keys):
        pairs = [(a[key] - b[key]) * 100 for a in by_arm.get(better, []) for b in by_arm.get(worse, [])
                 if a['seed'] == b['seed'] and key in a and key in b]
        if not pairs:
            continue
        mean = statistics.mean(pairs)
        if len(pairs) > 1:
            error = statistics.stdev(pairs) / len(pairs)**.5
            verdict = ('within the noise' if abs(mean) < 2 * error else 'yes' if mean > 0 else '**no**')
        else:
            verdict = ('yes' if mean > 0 else '**no**') + ' (one seed)'
        yield better, worse, source, key, pairs, verdict


def summary(studies: Dict[tuple, tuple]) -> List[str]:
    """The claims that several seeds were spent on, one table for all studies; README.md holds it too."""
    lines = ['| arm | beside | figure | of the arm, % | beside, % | difference, seed by seed | the paper\'s sign |',
             '| --- | --- | --- | --- | --- | --- | --- |']
    for study, records in studies.values():
        by_arm = grouped(study, records)
        for better, worse, _, key, pairs, verdict in comparisons(study, by_arm, study.get('short', [study.metric])):
            if len(pairs) > 1:
                figures = ' | '.join(spread([r[key] for r in by_arm[a] if key in r]) for a in (better, worse))
                lines.append(f"| {better} | {worse} | {shown_name(key)} | {figures} | "
                             f"{', '.join(f'{p:+.1f}' for p in pairs)} | {verdict} |")
    return lines + ['']


def arms_table(study, records: List[dict]) -> List[str]:
    """Every arm that has been run, a row each."""
    shown = shown_probes(study, records)
    lines = [
        f"| arm | figure |{''.join(f' {k[6:]} |' for k in shown)} seeds | feature std | effective rank | loss | seconds a run |",
        '| --- | --- |' + ' --- |' * len(shown) + ' --- | --- | --- | --- | --- |']
    for arm, runs in grouped(study, records).items():
        def mean(key):
            found = [r[key] for r in runs if key in r]
            return f'{statistics.mean(found):.2f}' if found else '-'
        probed = ''.join(f" {spread([r[k] for r in runs if k in r])} |" for k in shown)
        lines.append(f"| {arm} | {spread([r[study.metric] for r in runs])} |{probed} "
                     f"{', '.join(str(r['seed']) for r in runs)} | "
                     f"{mean('collapse/std')} | {mean('collapse/erank')} | {mean('loss')} | "
                     f"{statistics.mean(r['seconds'] for r in runs):.0f} |")
    return lines


def shown_probes(study, records: List[dict]) -> List[str]:
    return [k for k in study.get('probes', {}).get('show', []) if any(k in r for r in records)]


def figure_name(study, records: List[dict]) -> str:
    seeds = max((len(r) for r in grouped(study, records).values()), default=0)
    return f'{study.metric_name}, %, mean ± standard deviation over {seeds} seeds'


def section(name: str, study, size: str, records: List[dict]) -> List[str]:
    """The part of the page for one study at one size."""
    lines = [
        f'## {study.title}, {size} size', '', ' '.join(study.question.split()), '',
        f"- Images and network: {' '.join(study.sizes[size].split())}",
        f'- Figure: {figure_name(study, records)}',
        f"- Machine: {'; '.join(sorted({r['machine'] for r in records}))}",
        f'- Command: `python tools/evidence.py {name} --size {size}`', '', *arms_table(study, records)]
    lines += ['', '| claim | source | figure | difference, seed by seed | the paper\'s sign |',
              '| --- | --- | --- | --- | --- |']
    for better, worse, source, key, pairs, verdict in comparisons(
            study, grouped(study, records), [study.metric, *shown_probes(study, records)]):
        listed = ', '.join(f'{p:+.1f}' for p in pairs)
        lines.append(f'| {better} > {worse} | {source} | {shown_name(key)} | {listed}; '
                     f'mean {statistics.mean(pairs):+.1f} | {verdict} |')
    notes = RESULTS / f'{name}-{size}.md'
    return lines + ([''] + notes.read_text().rstrip().splitlines() if notes.exists() else []) + ['']


def protocols() -> List[str]:
    """Checkpoints of the studies by every protocol: the outputs of tools/evaluate.py."""
    tables = {}  # checkpoint -> its rows; its fine-tuning stands in a file of its own
    for path in sorted((RESULTS / 'protocols').glob('*.json')):
        tables.setdefault(path.stem.removesuffix('-finetune'), []).extend(json.loads(path.read_text()))
    if not tables:
        return []
    tables = {name: best_rows(rows) for name, rows in tables.items()}
    names = sorted(tables)
    keys = dict.fromkeys(key for table in tables.values() for key in table)
    lines = ['## Checkpoints of the studies by every protocol', '',
             'Seed 0 of the arms above, %; of a sweep of rates the best on the test set. A dash: the protocol is for',
             'the other family. See [evaluation.md](evaluation.md).', '',
             f"| protocol | read at, setting | {' | '.join(names)} |", '| --- | --- |' + ' --- |' * len(names)]
    for key in keys:
        cells = ' | '.join(f'{tables[n][key]:.1f}' if key in tables[n] else '-' for n in names)
        lines.append(f'| {key[0]} | {key[1]} | {cells} |')
    notes = RESULTS / 'protocols.md'
    return lines + ([''] + notes.read_text().rstrip().splitlines() if notes.exists() else []) + ['']


def report() -> None:
    """Write ``docs/evidence.md`` and its copies from everything in ``docs/evidence/``."""
    from mmengine.config import Config
    lines = ['# Evidence', '',
             'Written by `tools/evidence.py` from the results in `docs/evidence/`; a remark on a study stands in',
             '`docs/evidence/<study>-<size>.md`. Every figure was measured; none is a paper\'s.', '']
    studies = {}
    for name, path in STUDIES.items():
        study = Config.fromfile(path)
        for size in study.sizes:
            results = RESULTS / f'{name}-{size}.json'
            if results.exists():
                studies[name, size] = study, json.loads(results.read_text())
    short = summary(studies)
    lines += ['## In short', '', *short]
    for (name, size), (study, records) in studies.items():
        lines += section(name, study, size, records)
    for page in sorted(RESULTS.glob('*.page.md')):  # of tools that train in another way
        lines += page.read_text().rstrip().splitlines() + ['']
    lines += protocols()
    PAGE.write_text('\n'.join(lines).rstrip() + '\n')
    root, tables = PAGE.parents[1], {}
    for (name, size), (study, records) in studies.items():
        tables.setdefault(name, []).extend([
            f'`python tools/evidence.py {name}`, {size} size: {figure_name(study, records)}', '',
            *arms_table(study, records), ''])
    copy(root / 'README.md', short)
    for name, table in tables.items():
        copy(root / 'configs' / name / 'README.md', table)


def copy(page: Path, lines: List[str]) -> None:
    """Put ``lines`` between the marks of a page; a page without marks shows none."""
    if page.exists():
        text = '\n'.join(lines).strip()
        page.write_text(re.sub('(<!-- evidence -->\n).*(<!-- /evidence -->)', lambda m: f'{m[1]}\n{text}\n\n{m[2]}',
                               page.read_text(), flags=re.DOTALL))


def measured(config: str, seed: int, threads: int) -> Optional[dict]:
    """The result of the same run in another study: a baseline is trained once."""
    for path in sorted(RESULTS.glob('*.json')):
        for record in json.loads(path.read_text()):
            if (record.get('config'), record.get('seed'), record.get('threads')) == (config, seed, threads):
                return dict(record, study=record.get('study', path.stem))
    return None


def save(path: Path, records: List[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.tmp')
    partial.write_text(json.dumps(records, indent=1, sort_keys=True) + '\n')
    os.replace(partial, path)


def main(argv: Optional[List[str]] = None) -> None:
    from mmengine.config import Config
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('study', help=f"one of {', '.join(STUDIES)}")
    parser.add_argument('--size', default='cpu', help='size of the runs, see the study. Default: cpu')
    parser.add_argument('--arms', nargs='+', help='only these arms')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2], help='Default: 0 1 2')
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--workers', type=int, default=1, help='runs side by side, the cores shared out. Default: 1')
    parser.add_argument('--data', help='folder with packed images; default: $MSSL_DATA, then ../shared/data, '
                        'then the folders that the configs name')
    parser.add_argument('--work-dir', default=str(ROOT / 'work_dirs/evidence'))
    parser.add_argument('--report', action='store_true', help='only write docs/evidence.md and its copies')
    args = parser.parse_args(argv)
    if args.study not in STUDIES:
        raise unknown(args.study, STUDIES, 'study')
    study = Config.fromfile(STUDIES[args.study])
    if args.size not in study.sizes:
        raise unknown(args.size, study.sizes, 'size')
    for arm in args.arms or []:
        if arm not in study.arms:
            raise unknown(arm, study.arms, 'arm')
    results = RESULTS / f'{args.study}-{args.size}.json'
    records = json.loads(results.read_text()) if results.exists() else []
    done = {(r['arm'], r['seed']) for r in records}
    todo = [] if args.report else [
        (arm, seed) for seed in args.seeds for arm in args.arms or study.arms if (arm, seed) not in done
        and (args.arms or seed == args.seeds[0] or arm in study.get('headline', study.arms))]
    data = find_data(args.data)
    threads = max((os.cpu_count() or 1) // args.workers, 1)
    where = machine(args.device)
    runs = Path(args.work_dir) / f'{args.study}-{args.size}'

    def run(task):
        arm, seed = task
        config = find(study.configs[args.size].format(arm=arm))
        options = study.get('options', {}).get(arm, {})
        known = None if options else measured(config.stem, seed, threads)
        if known:
            print(f"{arm}, seed {seed}: run before, by '{known['study']}'", flush=True)
            records.append(dict(known, arm=arm))
            save(results, records)
            return report()
        print(f'{arm}, seed {seed} ...', flush=True)
        values = train(config, seed, runs / f'{arm}-s{seed}', data, args.device, threads, options)
        if study.metric not in values:
            raise UserError(f"{arm}, seed {seed}: the run logged no '{study.metric}'")
        keep = {k: v for k, v in values.items() if k in ('loss', 'seconds') or k.startswith(('knn/', 'collapse/'))}
        keep.update(probe(study, args.size, runs / f'{arm}-s{seed}', data, threads))
        records.append(dict(keep, arm=arm, seed=seed, config=config.stem, machine=where, threads=threads))
        save(results, records)
        print(f'{arm}, seed {seed}: {100 * values[study.metric]:.1f} in {values["seconds"]:.0f} s', flush=True)
        report()

    def fill(record):  # a run that was finished before its study had probes
        work_dir = runs / f"{record['arm']}-s{record['seed']}"
        if (work_dir / 'last_checkpoint').exists() and not args.report and any(
                key not in record for key in study.get('probes', {}).get('show', [])):
            record.update(probe(study, args.size, work_dir, data, threads))
            save(results, records)

    with ThreadPoolExecutor(args.workers) as pool:
        list(pool.map(fill, list(records)))
        list(pool.map(run, todo))
    report()
    print(f'written: {PAGE}')


if __name__ == '__main__':
    sys.exit(run_cli(main))
