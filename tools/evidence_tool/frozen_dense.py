"""The frozen dense protocols on the checkpoints of a study, beside its image-level figures.

``tools/evaluate.py``'s ``dense`` on CamVid and on generated scenes.  The rows are
kept in ``docs/evidence/runs/<study>-<size>/dense/<run>.json``.
"""

import json
import statistics
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from evidence_tool import configs, pieces
from evidence_tool.kept import Kept, Task, figure, random_title
from evidence_tool.study import Study
from mssl_plugins.errors import UserError
from mssl_plugins.files import write_atomically

SIDE, MEMORY, UNLABELED = 128, 20000, 11
SCENES = (400, 100)  # to train on and to test on
EPOCHS = 10  # of the linear head
#: columns of the page: title -> protocol and the start of its setting after the layer
COLUMNS = {
    'patch-knn, k=5': ('patch-knn', 'k=5,'),
    'patch-logistic': ('patch-logistic', ''),
    'hummingbird': ('hummingbird', ''),
    'linear-segmentation': ('linear-segmentation', ''),
}


class DenseSet(NamedTuple):
    """A data set of the table.

    Attributes:
        title (str): For the page.
        folder (Path): ``img`` and ``ann``.
        ignore (tuple): Labels to ignore.
    """

    title: str
    folder: Path
    ignore: tuple = ()


def data_sets(source: Optional[Path], work: Path) -> Dict[str, DenseSet]:
    """CamVid, if it is packed in ``source``, and generated scenes, unpacked into ``work``."""
    from mssl_plugins.datasets.dense_layouts import PACKED, write_scenes

    found = {}
    if source and (source / 'camvid_train.npz').is_file():
        if not (work / 'camvid/img/val').is_dir():
            PACKED['camvid'](source, work / 'camvid')
        found['camvid'] = DenseSet('CamVid', work / 'camvid', (UNLABELED,))
    if not (work / 'scenes/img/val').is_dir():
        write_scenes(work / 'scenes', 'seg', SCENES)
    found['scenes'] = DenseSet('scenes', work / 'scenes')
    return found


def measure(checkpoint: str, config: str, sets: Dict[str, DenseSet], work: Path, seed: int) -> dict:
    """Rows of the dense protocols on each data set.

    Args:
        checkpoint (str): A file, or 'random'.
        config (str): Config of the run.
        sets (dict): From :func:`data_sets`.
        work (Path): Where features are kept.
        seed (int): Seed of random weights, the memory and the linear head.

    Returns:
        dict: Name of a set -> its rows.
    """
    from mssl_plugins.evaluation.measure import DataOptions
    from mssl_plugins.evaluation.measure import measure as evaluate
    from mssl_plugins.evaluation.options import EvaluationOptions

    return {
        name: evaluate(
            checkpoint,
            str(one.folder),
            'dense',
            work / name,
            config=config,
            given=DataOptions(size=SIDE, ignore_label=one.ignore),
            options=EvaluationOptions(memory=MEMORY, epochs=EPOCHS, seed=seed, batch_size=16),
        )
        for name, one in sets.items()
    }


def measured(study: Study, kept: Kept) -> List[Task]:
    """The runs with a row: finals, the best try of a variant that has none yet, random weights."""
    finals = kept.find(kind='final')
    done = {record['variant'] for record in finals}
    tries: Dict[str, List[dict]] = {}
    for record in kept.find(kind='sweep'):
        if record['variant'] not in done:
            tries.setdefault(record['variant'], []).append(record)
    best = [max(found, key=lambda r: figure(r, study.figure)) for found in tries.values()]
    trained = [*finals, *best]
    bases = {study.variants[r['variant']].base for r in trained}  # whose start is compared with
    starts = [r for r in kept.find(kind='random') if r['variant'] in bases]
    return [Task(**{k: r[k] for k in Task._fields}) for r in (*trained, *starts)]


def run(args, study: Study, folder: Path) -> None:
    """Measures the runs of :func:`measured` whose checkpoints are there, and says which have none.

    Args:
        args (argparse.Namespace): From the command line: ``data``, ``work_dir``,
            ``train``, ``minutes``.
        study (Study): At the size that was asked for.
        folder (Path): Its kept results.

    Raises:
        UserError: If nothing is kept of the study.
    """
    import torch

    torch.set_num_threads(1)
    kept, clock = Kept(folder), pieces.Clock(args.minutes)
    work = Path(args.work_dir).absolute()
    data = configs.find_data(args.data)
    tasks = measured(study, kept)
    if not tasks:
        raise UserError(f'{folder}: no run is kept: `run {folder.name.rsplit("-", 1)[0]}` first')
    sets = data_sets(data, work / 'dense-sets')
    missing = []
    for task in tasks:
        out, own = folder / f'dense/{task.name}.json', work / folder.name / task.name
        if out.is_file() or clock.left <= 0:
            continue
        checkpoint = _checkpoint(task, own, study, data, args.train, clock)
        if checkpoint is None:
            missing.append(task.name)
            continue
        print(f'{task.name} ...', flush=True)
        rows = measure(checkpoint, str(own / 'run.py'), sets, own / 'dense', task.seed)
        record = dict(task._asdict(), machine=pieces.machine('cpu'), rows=rows)
        write_atomically((json.dumps(record, indent=1) + '\n').encode(), out)
    if missing:
        print(f'without a checkpoint here: {", ".join(missing)}; --train trains them again')


def _checkpoint(task: Task, own: Path, study: Study, data, again: bool, clock) -> Optional[str]:
    """A run's checkpoint; 'random' where nothing is trained."""
    if task.kind == 'random':
        own.mkdir(parents=True, exist_ok=True)
        configs.build(study, task, data).dump(own / 'run.py')
        return 'random'
    if pieces.checkpoint(own) is None and again and study.variants[task.variant].after is None:
        env = dict(
            pieces.environment(study.device, 1), **(dict(MSSL_DATA=str(data)) if data else {})
        )
        pieces.train(configs.build(study, task, data), own, clock.left, env)
    found = pieces.checkpoint(own)
    return found and str(found)


def load(study: Study, kept: Kept) -> List[dict]:
    """The kept rows of a study's runs of :func:`measured`."""
    names = {task.name for task in measured(study, kept)}
    files = sorted((kept.folder / 'dense').glob('*.json'))
    return [json.loads(path.read_text()) for path in files if path.stem in names]


def _cell(records: List[dict], data: str, layer: str, column: str) -> str:
    protocol, how = COLUMNS[column]
    values = [
        row['value']
        for record in records
        for row in record['rows'].get(data, ())
        if row['protocol'] == protocol and row['setting'].startswith(f'{layer}, {how}')
    ]
    if not values:
        return '-'
    spread = f' ± {statistics.stdev(values):.1f}' if len(values) > 1 else ''
    return f'{statistics.mean(values):.1f}{spread}'


def section(study: Study, kept: Kept) -> List[str]:
    """The table of the page; nothing where nothing is measured."""
    from evidence_tool.report import mean_and_spread, table

    groups: Dict[tuple, List[dict]] = {}
    for record in load(study, kept):
        name = random_title(record['variant']) if record['kind'] == 'random' else ''
        length = '' if record['kind'] == 'random' else record['length']
        if record['kind'] == 'sweep':
            length += ', a try'
        groups.setdefault((name or record['variant'], length), []).append(record)
    rows = []
    for (name, length), records in sorted(groups.items(), key=lambda g: (g[0][1], g[0][0])):
        images = [
            figure(found, study.figure)
            for r in records
            for found in kept.find(**{k: r[k] for k in Task._fields})
        ]
        for data in dict.fromkeys(d for r in records for d in r['rows']):
            settings = [row['setting'] for r in records for row in r['rows'].get(data, ())]
            for layer in dict.fromkeys(s.split(',')[0] for s in settings):
                cells = [_cell(records, data, layer, c) for c in COLUMNS]
                rows.append(
                    f'| {name} | {length} | {mean_and_spread(images)} | {data}, {layer} | '
                    f'{" | ".join(cells)} | {len(records)} |'
                )
    if not rows:
        return []
    again = [
        r
        for records in groups.values()
        for r in records
        for first in kept.find(**{k: r[k] for k in Task._fields})
        if r['kind'] == 'final' and r['machine'] != first['machine']
    ]
    other = f' Trained again for it, on another machine: {len(again)} of the runs.' if again else ''
    size = kept.folder.name.rsplit('-', 1)
    head = (
        f'| variant | images x epochs | {study.figure} | mIoU on | {" | ".join(COLUMNS)} | seeds |'
    )
    return [
        f'Frozen dense protocols ([how](evaluation.md)), short side {SIDE} px, a memory of '
        f'{MEMORY:,} patches, {EPOCHS} epochs of the linear head; random weights are '
        'a draw of the backbone alone: '
        f'`python tools/evidence.py dense {size[0]} --size {size[1]}`.{other}',
        '',
        *table(head, rows),
        '',
    ]
