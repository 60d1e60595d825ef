"""The report page as one HTML file that needs nothing else."""

import shlex
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Union

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mssl_plugins import __version__
from mssl_plugins.checkpoints.reader import default_branch
from mssl_plugins.files import write_atomically
from mssl_plugins.report.figures import Figure, figures
from mssl_plugins.report.plots import Plot, plot
from mssl_plugins.report.run import NoRun, Run, read_run

NAME = 'report.html'
CONFIG_CHARACTERS = 60_000  # of a config on the page
# measures without labels: key, what it says, and which way is better
MEASURES = (
    ('std', 'feature standard deviation (0: collapsed)', 'larger'),
    ('rankme', 'RankMe, effective number of directions', 'larger'),
    ('lidar', 'LiDAR, directions that tell images apart in spite of views', 'larger'),
    ('retrieval', 'how often the nearest view is of the same image, 0 to 1', 'larger'),
    ('alignment', 'squared distance of two views of an image', 'smaller, while uniformity falls'),
    ('uniformity', 'do the images crowd together (0 to -4)', 'smaller'),
)
#: architectures of ViTs that have a detector's config, and their letter in its name
VITS = {'deit-tiny': 't', 'deit-small': 's', 'base': 'b', 'b': 'b'}
# logged beside the losses, which are shown as measures or as speed
OTHER = ('time', 'data_time', 'memory', 'grad_norm', 'lr', 'base_lr')


class Measure(NamedTuple):
    """A label-free measure of a run.

    Attributes:
        key (str): Its name in the log.
        what (str): What it says.
        better (str): Which way is better.
        initial (float, optional): For the initial weights.
        last (float): At the end.
    """

    key: str
    what: str
    better: str
    initial: Optional[float]
    last: float


class Section(NamedTuple):
    """What the page shows of one run.

    Attributes:
        run (Run): The run.
        facts (dict[str, str]): What was trained, on what, by which versions.
        accuracy (list[tuple]): (name, k-NN accuracy) of trained weights and baselines.
        measures (list[Measure]): Label-free measures.
        plots (list[Plot]): Its curves.
        figures (list[Figure]): Some of its figures.
        all_figures (int): How many figures there are.
        commands (list[tuple]): (purpose, command) of the next steps.
        config (str): Its config, shortened.
        anchor (str): The section's id on the page.
    """

    run: Run
    facts: Dict[str, str]
    accuracy: List[tuple]
    measures: List[Measure]
    plots: List[Plot]
    figures: List[Figure]
    all_figures: int
    commands: List[tuple]
    config: str
    anchor: str


def write_report(
    folders: Sequence[Union[str, Path]], out: Optional[Union[str, Path]] = None
) -> Path:
    """Writes the report of a run, or of several side by side.

    The page says so for a folder that holds no run.

    Args:
        folders (Sequence[str | Path]): Work dirs of the runs.
        out (str | Path, optional): The file. Defaults to None: ``report.html``
            in the work dir if there is one run, else in the current folder.

    Returns:
        Path: The file.

    Raises:
        OSError: If it cannot be written.
    """
    runs, wrong = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except NoRun as error:
            wrong.append(str(error))
    if out is None:
        alone = runs[0].folder if len(folders) == 1 and runs else Path('.')
        out = alone / NAME
    out = Path(out)
    write_atomically(render(runs, wrong, out.parent).encode('utf-8', 'replace'), out)
    return out


def render(runs: Sequence[Run], wrong: Sequence[str] = (), place: Path = Path('.')) -> str:
    """The page as HTML.

    Args:
        runs (Sequence[Run]): The runs.
        wrong (Sequence[str]): Messages about folders that hold no run. Defaults
            to none.
        place (Path): The page's folder. Defaults to the working directory.

    Returns:
        str: One document that refers to no other file.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['number'] = number
    # our own SVG, whose texts matplotlib has escaped
    environment.filters['svg'] = Markup
    number_of_plots, sections = 0, []
    names = _distinct(runs)
    for i, run in enumerate(runs):
        section = _section(run._replace(name=names[i]), i, number_of_plots, alone=len(runs) == 1)
        number_of_plots += len(section.plots)
        sections.append(section)
    return environment.get_template('report.html.j2').render(
        title=names[0] if len(runs) == 1 else f'{len(runs)} runs' if runs else 'no run',
        sections=sections,
        wrong=wrong,
        beside=_beside(sections, number_of_plots) if len(runs) > 1 else [],
        version=__version__,
    )


def _distinct(runs: Sequence[Run]) -> List[str]:
    """The folders' names, with their parents' names where two are equal."""
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    names = [str(Path(run.folder.parent.name) / run.name) for run in runs]
    return names if len(set(names)) == len(names) else [str(run.folder) for run in runs]


def number(value, digits: int = 4) -> str:
    """A number as text; a dash for None."""
    if value is None:
        return '–'
    if isinstance(value, int) or float(value).is_integer() and abs(value) < 1e6:
        return f'{int(value)}'
    return f'{value:.{digits}g}'


def _time(seconds: Optional[float]) -> str:
    if not isinstance(seconds, (int, float)):
        return ''
    if seconds < 100:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min' if seconds < 6000 else f'{seconds / 3600:.1f} h'


def _short(kind) -> str:
    return str(kind or '').rsplit('.', 1)[-1]


def _facts(run: Run) -> Dict[str, str]:
    """What was trained, on what, by which config and versions; empty ones are left out."""
    config = run.config
    model, catalogue = config.get('model') or {}, config.get('catalogue') or {}
    backbone, loader = model.get('backbone') or {}, config.get('train_dataloader') or {}
    dataset = loader.get('dataset') or {}
    dataset = (dataset.get('datasets') or [dataset])[0]
    optimizer = (config.get('optim_wrapper') or {}).get('optimizer') or {}
    size = backbone.get('arch', backbone.get('depth', ''))
    mixing = _short((model.get('mixing') or {}).get('type'))
    facts = {
        'method': f'{_short(model.get("type"))}{f" with {mixing}" if mixing else ""}',
        'backbone': f'{_short(backbone.get("type"))} {size if not isinstance(size, dict) else ""}',
        'data': ' '.join(
            str(part)
            for part in (_short(dataset.get('type')), dataset.get('data_root', ''))
            if part
        ),
        'training images': '' if run.images is None else str(run.images),
        'classes': ', '.join(run.classes[:20]) + (' …' if len(run.classes) > 20 else ''),
        'recipe': str(catalogue.get('data', '')) and f'for {catalogue["data"]}',
        'length': f'{run.epochs} epochs, {run.iterations} iterations',
        'batch': str(loader.get('batch_size', '')),
        'optimizer': f'{_short(optimizer.get("type"))} {optimizer.get("lr", "")}',
        'started from': str(config.get('load_from') or ''),
        'seed': str((config.get('randomness') or {}).get('seed', '')),
        'trained in': _time(run.seconds),
        'speed': f'{run.speed:.3g} images/s and process' if run.speed else '',
        'device': run.device,
        'versions': ', '.join(f'{name} {version}' for name, version in run.versions.items()),
        'folder': str(run.folder),
        'last checkpoint': run.checkpoint.name if run.checkpoint else 'none was saved',
    }
    return {name: value.strip() for name, value in facts.items() if value.strip()}


def _accuracy(run: Run) -> List[tuple]:
    """(name, k-NN accuracy) of raw pixels, initial weights and trained weights."""
    if run.knn is None:
        return []
    rows = [('raw pixels', run.baselines.get('raw_pixels'))]
    rows.append(('initial weights', run.baselines.get('initial_weights')))
    return [*rows, ('trained', run.last(run.knn))]


def _measures(run: Run) -> List[Measure]:
    first = run.monitor[0] if run.monitor and run.monitor[0].get('epoch') == 0 else {}
    last = run.monitor[-1] if run.monitor else {}
    return [
        Measure(key, what, better, first.get(key), last[key])
        for key, what, better in MEASURES
        if isinstance(last.get(key), (int, float))
    ]


def _plots(run: Run, number_of_plots: int) -> List[Plot]:
    """Plots of losses, k-NN with its baselines, label-free measures and learning rate."""
    losses = {
        name: points
        for name, points in run.curves.items()
        if '/' not in name and name not in OTHER and 'loss' in name
    }
    wanted = [('loss', losses, {})] if losses else []
    if run.knn:
        levels = {name.replace('_', ' '): value for name, value in run.baselines.items()}
        wanted.append((f'k-NN accuracy ({run.knn})', {'trained': run.curves[run.knn]}, levels))
    for key, what, _ in MEASURES:
        points = [
            (m['iter'], m[key])
            for m in run.monitor
            if isinstance(m.get('iter'), int) and isinstance(m.get(key), (int, float))
        ]
        if points:
            wanted.append((what, {key: points}, {}))
    wanted += [
        (name, {name: points}, {})
        for name, points in sorted(run.curves.items())
        if name.startswith('collapse/') or name == 'lr'
    ]
    return [plot(*what, number=number_of_plots + i) for i, what in enumerate(wanted)]


def _commands(run: Run) -> List[tuple]:
    """(purpose, command) of the next steps."""
    if run.checkpoint is None:
        return []
    file = shlex.quote(str(run.checkpoint))
    out = shlex.quote(str(run.folder / 'timm'))
    found = [
        (
            'evaluate by a protocol',
            f'python -m mssl_plugins evaluate {file} --data DIR --protocols knn,linear',
        ),
        ('take it to timm', f'python -m mssl_plugins export {file} {out} --to timm'),
        (
            'write features',
            f'python -m mssl_plugins extract {file} features.npz --data DIR',
        ),
    ]
    model = run.config.get('model') or {}
    detector = _detector(model.get('backbone') or {})
    if detector:
        branch = default_branch({}, _short(model.get('type')))
        found.append(
            (
                'detect with it',
                f'OWN_DATA=DIR OWN_CLASSES=a,b python -m mssl_plugins train {detector} '
                f'--auto-scale-lr --cfg-options default_hooks.backbone.checkpoint={file}'
                + (f' default_hooks.backbone.branch={branch}' if branch != 'student' else ''),
            )
        )
    found.append(('write this page again', f'python -m mssl_plugins report {_folder(run)}'))
    return found


def _detector(backbone: dict) -> str:
    """The config that fine-tunes a backbone on the user's own boxes; '' if there is none."""
    if _short(backbone.get('type')) == 'ResNet' and backbone.get('depth') in (18, 50):
        return f'mask-rcnn_r{backbone["depth"]}-c4_8xb2-1x_own-coco'
    size = VITS.get(str(backbone.get('arch'))) if backbone.get('patch_size', 16) == 16 else None
    return f'vitdet_vit-{size}16_32xb2-36e_own-coco' if size else ''


def _folder(run: Run) -> str:
    return shlex.quote(str(run.folder))


def _section(run: Run, index: int, number_of_plots: int, alone: bool) -> Section:
    shown, count = figures(run.folder, most=24 if alone else 8)
    text = run.config_text
    if len(text) > CONFIG_CHARACTERS:
        text = text[:CONFIG_CHARACTERS] + '\n# ... the rest is in the folder of the run'
    return Section(
        run,
        _facts(run),
        _accuracy(run),
        _measures(run),
        _plots(run, number_of_plots),
        shown,
        count,
        _commands(run),
        text,
        f'run-{index + 1}',
    )


def _beside(sections: Sequence[Section], number_of_plots: int) -> List[Plot]:
    """Plots with a line for each of several runs."""
    runs = [section.run for section in sections]
    shared = []
    for key in ('loss', 'knn', *(key for key, *_ in MEASURES)):
        lines = {}
        for run in runs:
            name = (run.knn or '') if key == 'knn' else key
            points = run.curves.get(name) or run.curves.get(f'monitor/{name}')
            if points:
                lines[run.name] = points
        if len(lines) > 1:
            shared.append(('k-NN accuracy' if key == 'knn' else key, lines))
    return [
        plot(title, lines, number=number_of_plots + i) for i, (title, lines) in enumerate(shared)
    ]
