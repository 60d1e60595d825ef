"""Do runs on unlabeled folders learn, and do label-free measures say so?

    python tools/photo_evidence.py crops OUT FOLDER [FOLDER ...]
    python tools/photo_evidence.py train OUT RECIPE [RECIPE ...] --minutes 15 [-- --lr 3e-4]
    python tools/photo_evidence.py pixels RUN [RUN ...]
    python tools/photo_evidence.py rank RUN [RUN ...]

``crops`` cuts photo-like images out of larger ones, ``train`` trains recipes
on them by the command that users give (with the options after ``--``), each for
so many minutes, ``pixels`` takes the same measures of the images' averaged
pixels, ``rank`` compares label-free measures with k-NN over the checkpoints of
runs on labeled images.  docs/your-images.md shows what they gave.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy.stats import spearmanr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from mssl_plugins.commands.options import positive
from mssl_plugins.files import read_scalars

SUFFIXES = {'.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp', '.webp'}
# Whether more of a measure is better; alignment alone is not (a collapsed network has 0).
MEASURES = dict(std=1, rankme=1, alignment=-1, uniformity=-1, lidar=1, retrieval=1)


# ---------------------------------------------------------------------- crops
def large_images(folder: Path, least: int) -> list:
    """Files below a folder that Pillow reads and whose short side has ``least`` px."""
    found = []
    for path in sorted(folder.rglob('*')):
        if path.suffix.lower() in SUFFIXES:
            try:
                with Image.open(path) as image:
                    if min(image.size) >= least:
                        found.append(path)
            except UnidentifiedImageError:
                continue
    if not found:
        raise SystemExit(f'{folder}: no image with a short side of {least} px or more')
    return found


def cut(image: Image.Image, rng: np.random.Generator, least: int) -> Image.Image:
    """A crop: side 40-100 % of the short one, aspect 3:4 to 4:3, anywhere."""
    side = rng.uniform(max(least, 0.4 * min(image.size)), min(image.size))
    aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)) / 2)
    width, height = min(int(side * aspect), image.width), min(int(side / aspect), image.height)
    left = int(rng.integers(image.width - width + 1))
    top = int(rng.integers(image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def make_crops(args: argparse.Namespace) -> None:
    """Writes ``--number`` crops, the same number of each folder, as JPEGs of quality 95."""
    rng = np.random.default_rng(args.seed)
    shares = np.diff(np.linspace(0, args.number, len(args.folders) + 1).round().astype(int))
    for place, (folder, share) in enumerate(zip(args.folders, shares)):
        target = args.out / f'{place}_{folder.name}'
        target.mkdir(parents=True, exist_ok=True)
        images = large_images(folder, args.least)
        for i in range(share):
            with Image.open(images[i % len(images)]) as image:
                cut(image.convert('RGB'), rng, args.least).save(target / f'{i:04d}.jpg', quality=95)
        print(f'{share} crops of {len(images)} images of {folder} in {target}')


# ------------------------------------------------------------------- training
UNITS = dict(s=1, min=60, h=3600)


def train(args: argparse.Namespace) -> None:
    """Trains each recipe for ``--minutes``: its pre-flight times an epoch, the length follows."""
    for recipe in args.recipes:
        work_dir = args.work_dir / recipe.replace('/', '_')
        command = [
            *(sys.executable, '-m', 'mssl_plugins', 'train', recipe, '--data', str(args.folder)),
            *('--size', str(args.size), '--work-dir', str(work_dir), '--seed', '0', *args.more),
        ]
        checked = subprocess.run([*command, '--check'], check=True, text=True, capture_output=True)
        seconds, unit = re.search(r'checked: ([\d.]+) (s|min|h) an epoch', checked.stdout).groups()
        epochs = max(2, round(60 * args.minutes / (float(seconds) * UNITS[unit])))
        print(f'{recipe}: {seconds} {unit} an epoch, so {epochs} epochs', flush=True)
        began = time.time()
        subprocess.run([*command, '--epochs', str(epochs), '--overwrite'], check=True)
        print(f'{recipe}: {(time.time() - began) / 60:.1f} min', flush=True)
    table([args.work_dir / recipe.replace('/', '_') for recipe in args.recipes])


def head(*columns: str) -> None:
    """Prints the head of a table of Markdown: these columns, and one for each measure."""
    print('| ' + ' | '.join([*columns, *MEASURES]) + ' |')
    print('|' + ' --- |' * (len(columns) + len(MEASURES)))


def table(runs) -> None:
    """Prints each run's measures, at initialization and at the end, as rows of Markdown."""
    head('recipe', 'epochs')
    for run in runs:
        kept = json.loads((run / 'monitor.json').read_text())
        first, last = kept['baseline'], kept['measured'][-1]
        cells = [f'{first[name]:.3g} -> {last[name]:.3g}' for name in MEASURES]
        print(f'| `{run.name}` | {last["epoch"]} | ' + ' | '.join(cells) + ' |')


# ---------------------------------------------------------------------- pixels
def pixels(args: argparse.Namespace) -> None:
    """Prints what label-free measures say of averaged pixels: no network, nothing learned."""
    from mmengine.config import Config
    from mmengine.registry import HOOKS, init_default_scope

    from mssl_plugins.evaluation.backbone import Pixels

    head('run', 'pixels')
    for run in args.runs:
        cfg = Config.fromfile(run / 'config.py')
        init_default_scope('mmpretrain')
        hook = HOOKS.build({**cfg.default_hooks.monitor, 'branch': 'student'})
        hook.load_images()
        seen = Pixels.of_config(cfg)
        for side in args.sides:
            seen.size = side
            found, _ = hook.measure(seen)
            cells = [f'{found[name]:.3f}' for name in MEASURES]
            print(f'| `{run.name}` | {side} x {side} | ' + ' | '.join(cells) + ' |')


# ------------------------------------------------------------------------ rank
def checkpoints(run: Path) -> list:
    """(label-free measures, k-NN) wherever a run measured both.

    Args:
        run (Path): A work dir of labeled images: ``monitor.json`` and the
            scalars of k-NN in its log.

    Returns:
        list[dict]: With the measures, ``knn`` and ``epoch``.
    """
    knn = {}
    for row in read_scalars(run):
        found = [value for key, value in row.items() if key.startswith('knn/')]
        if found:
            knn[row['step']] = found[0]
    measured = json.loads((run / 'monitor.json').read_text())['measured']
    return [dict(row, knn=knn[row['iter']]) for row in measured if row['iter'] in knn]


def rank(args: argparse.Namespace) -> None:
    """Prints Spearman's correlation of each measure with k-NN, over all runs and within each."""
    runs = {run.name: checkpoints(run) for run in args.runs}
    every = [row for rows in runs.values() for row in rows]
    print(f'{len(every)} checkpoints of {len(runs)} runs')
    head('checkpoints of', 'number', 'k-NN')
    for name, rows in {'all': every, **runs}.items():
        knn = [row['knn'] for row in rows]
        cells = [
            f'{spearmanr(knn, [sign * row[measure] for row in rows])[0]:+.2f}'
            for measure, sign in MEASURES.items()
        ]
        low, high = 100 * min(knn), 100 * max(knn)
        print(f'| {name} | {len(rows)} | {low:.1f}-{high:.1f} | ' + ' | '.join(cells) + ' |')


def main(argv=None) -> None:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    own = commands.add_parser('crops', help=make_crops.__doc__)
    own.add_argument('out', type=Path)
    own.add_argument('folders', type=Path, nargs='+', metavar='FOLDER')
    own.add_argument('--number', type=int, default=1000, help='of all; default: 1000')
    own.add_argument('--least', type=int, default=96, metavar='PX', help='default: 96')
    own.add_argument('--seed', type=int, default=0)
    own.set_defaults(run=make_crops)
    own = commands.add_parser('train', help=train.__doc__)
    own.add_argument('folder', type=Path)
    own.add_argument('recipes', nargs='+', metavar='RECIPE')
    own.add_argument('--minutes', type=positive, default=15)
    own.add_argument('--size', type=int, default=96)
    own.add_argument('--work-dir', type=Path, default=Path('work_dirs/photo_evidence'))
    own.set_defaults(run=train)
    own = commands.add_parser('pixels', help=pixels.__doc__)
    own.add_argument('runs', type=Path, nargs='+', metavar='RUN')
    own.add_argument(
        '--sides',
        type=int,
        nargs='+',
        default=[4, 16],
        help='averaged to N x N; default: 4 16',
        metavar='N',
    )
    own.set_defaults(run=pixels)
    own = commands.add_parser('rank', help=rank.__doc__)
    own.add_argument('runs', type=Path, nargs='+', metavar='RUN')
    own.set_defaults(run=rank)
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index('--') if '--' in argv else len(argv)
    args = parser.parse_args(argv[:end])
    args.more = argv[end + 1 :]
    if args.more and args.run is not train:
        parser.error('options after -- are those of train')
    args.run(args)


if __name__ == '__main__':
    main()
