"""Hostile files in every reader: does one of them run code, or touch what is not its own?

    python tools/reliability/attacks.py --n 300 --seed 0 --write

Checkpoints that unpickle to calls, configs inside checkpoints, shards, packed
images, JSON files, links and names are given to the real commands, each in a
forked process.  An execution would leave a file; a canary beside the command's
folder, all other files there and what Python opens for writing are compared
before and after.  Prints one line.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, List

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import sandbox
from hostile import VIT, Place
from hostile_checkpoints import attack_checkpoint
from hostile_data import attack_json, attack_names, attack_packed, attack_store
from report import measured, write_section

NECK = dict(
    type='mmpretrain.NonLinearNeck',
    in_channels=24,
    hid_channels=8,
    out_channels=8,
    with_avg_pool=False,
)
CONFIG = """
default_scope = 'mmpretrain'
model = dict(
    type='mssl_plugins.SimCLR', backbone={vit!r}, neck={neck!r},
    data_preprocessor=dict(
        type='mssl_plugins.ViewPreprocessor', mean=[120.] * 3, std=[60.] * 3),
    head=dict(type='mmpretrain.ContrastiveHead', temperature=0.2,
              loss=dict(type='mmpretrain.CrossEntropyLoss')))
train_dataloader = dict(
    batch_size=4, num_workers=0, drop_last=True,
    sampler=dict(type='mssl_plugins.EpochSampler', shuffle=True),
    dataset=dict(type='mssl_plugins.ImageFolder', data_root={data!r}, labels=False, max_bad=0.5,
                 pipeline=[{loading}dict(type='mssl_plugins.Views', views=[dict(num=2, size=32)]),
                           dict(type='mssl_plugins.PackViews')]))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=2)
visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
default_hooks = dict(
    checkpoint=dict(type='mssl_plugins.AtomicCheckpointHook', interval=1, max_keep_ckpts=1))
"""
FAMILIES: Dict[str, Callable] = dict(
    checkpoints=attack_checkpoint,
    stores=attack_store,
    packed=attack_packed,
    json=attack_json,
    names=attack_names,
)


def prepare(root: Path) -> None:
    """What all attacks start from: images, a good checkpoint of a run, a segment store."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    clean = root / 'clean'
    for split in ('train', 'val'):
        for label in 'ab':
            (clean / 'data' / split / label).mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(clean / 'data' / split / label / f'{i}.png')
    for name, loading in (
        ('config.py', ''),
        (
            'segments.py',
            'dict(type="mssl_plugins.LoadSegments", segments="store", allow_missing=True), ',
        ),
    ):
        (clean / name).write_text(CONFIG.format(vit=VIT, neck=NECK, data='data', loading=loading))
    (clean / 'evil.py').write_text('open("../executed", "w")')
    for argv in (
        ['train', 'config.py', '--work-dir', 'first', '--epochs', '1'],
        ['make_segments', 'data', '../store', '--generator', 'slic'],
    ):
        ended = sandbox.run_command(argv, clean, root / 'log')
        if ended.status:
            raise RuntimeError(ended.text)
    shutil.move(clean / 'first/epoch_1.pth', clean / 'good.pth')
    shutil.rmtree(clean / 'first')


def attack(number: int, seed: int, root: Path) -> dict:
    """One attack; what came of it."""
    rng = random.Random(f'{seed}-{number}')
    family = list(FAMILIES)[number % len(FAMILIES)] if number % 2 else 'checkpoints'
    place = Place(root, root / 'target', root / 'executed', root / 'canary')
    shutil.rmtree(place.target, ignore_errors=True)
    shutil.rmtree(place.executed, ignore_errors=True)
    place.executed.unlink(missing_ok=True)
    shutil.copytree(root / 'clean', place.target)
    place.canary.write_text('alive\n')
    (root / 'canary.folder').mkdir(exist_ok=True)
    (root / 'canary.folder/file').write_text('alive\n')
    argv = FAMILIES[family](rng, place)
    log = root / 'logs' / f'{number}.txt'
    log.parent.mkdir(exist_ok=True)
    log.with_suffix('.written').unlink(missing_ok=True)
    before = sandbox.snapshot(root, place.target)
    ended = sandbox.run_command(argv, place.target, log)
    after = sandbox.snapshot(root, place.target)
    touched = {k for k in {*before, *after} if before.get(k) != after.get(k)}
    touched -= {str(log), str(log.with_suffix('.written'))}
    return dict(
        number=number,
        family=family,
        argv=argv,
        kind=ended.kind,
        executed=place.executed.exists(),
        touched=sorted(touched) + ended.written,
        last=(ended.text.strip().splitlines() or [''])[-1][:300],
    )


def summary(found: List[dict], seed: int) -> str:
    """The figure line."""
    kinds, families = (Counter(f[k] for f in found) for k in ('kind', 'family'))
    return (
        f'{len(found)} attacks by files ({", ".join(f"{v} {k}" for k, v in families.items())}), '
        f'seed {seed}: {sum(f["executed"] for f in found)} executions, '
        f'{sum(bool(f["touched"]) for f in found)} with files touched outside the folder; '
        + ', '.join(f'{kinds[k]} {k}' for k in ('refused', 'ran', 'traceback', 'hung', 'crashed'))
    )


def main(argv=None) -> int:
    """Runs the attacks, prints the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--n', type=int, default=300, help='default: 300')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    parser.add_argument('--write', action='store_true', help='write docs/reliability.md')
    parser.add_argument('--json', metavar='FILE', help='write what came of each attack')
    args = parser.parse_args(argv)
    sandbox.preload()
    found = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        prepare(root)
        for number in range(args.n):
            found.append(attack(number, args.seed, root))
            last = found[-1]
            if last['executed'] or last['touched'] or last['kind'] not in ('refused', 'ran'):
                print(json.dumps(last), file=sys.stderr, flush=True)
    line = summary(found, args.seed)
    print(line)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1))
    if args.write:
        command = f'attacks.py --n {args.n} --seed {args.seed}'
        write_section('attacks', ['## Files of strangers', '', *measured(command, line)])
    return int(
        any(f['executed'] or f['touched'] or f['kind'] in ('hung', 'crashed') for f in found)
    )


if __name__ == '__main__':
    sys.exit(main())
