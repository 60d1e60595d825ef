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
import os
import pickle
import random
import shutil
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
import sandbox
from report import measured, write_section

ARCH = dict(embed_dims=24, num_layers=2, num_heads=3, feedforward_channels=48)
VIT = dict(type='mssl_plugins.ViT', img_size=32, patch_size=8, arch=ARCH)
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


NAMES = (
    '-rf.png',
    '--out=x.png',
    '$(touch x).png',
    '`touch x`.png',
    "';import os.png",
    'a\nb.png',
    '{0.__class__}.png',
    '%s%n.png',
    '\x1b[2J.png',
    os.fsdecode(b'caf\xe9.png'),
    'x' * 240 + '.png',
    'CON .png',
    '。.png',
)


class Place(NamedTuple):
    """Where an attack happens.

    Attributes:
        root (Path): Holds all; nothing but ``target`` may change in it.
        target (Path): The command's folder.
        executed (Path): What a payload makes, if it runs.
        canary (Path): A file that payloads and links aim at.
    """

    root: Path
    target: Path
    executed: Path
    canary: Path


class Call:
    """Unpickles to a call."""

    def __init__(self, function: Callable, *args) -> None:
        self.parts = (function, args)

    def __reduce__(self):
        return self.parts


def payload(rng: random.Random, place: Place) -> Call:
    """A call that leaves a trace."""
    import numpy as np
    import torch

    mark, canary = str(place.executed), str(place.canary)
    code = f'open({mark!r}, "w").write("x")'
    return rng.choice(
        [
            Call(os.system, f'touch {mark}'),
            Call(exec, code),
            Call(eval, code),
            Call(open, mark, 'w'),
            Call(os.unlink, canary),
            Call(shutil.rmtree, canary + '.folder'),
            Call(os.mkdir, mark),
            Call(os.rename, canary, mark),
            Call(getattr(Path, 'touch'), Path(mark)),
            Call(torch.save, {}, mark),
            Call(np.save, mark, np.zeros(1)),
            Call(__import__, 'antigravity_of_nobody'),
            Call(getattr, Path, 'unlink'),
            Call(pickle.loads, pickle.dumps(Call(os.system, f'touch {mark}'))),
            Call(torch.load, mark, 'cpu', None),
        ]
    )


def hostile_text(rng: random.Random, place: Place) -> str:
    """A config inside a checkpoint that would do something if it were run or believed."""
    run = f'__import__("os").system("touch {place.executed}")'
    touch = ['touch', str(place.executed)]
    system = dict(type='os.system', command=' '.join(touch))
    folder = dict(
        type='mssl_plugins.ImageFolder',
        data_root=str(place.target / 'data'),
        pipeline=[dict(type='os.mkdir', path=str(place.executed))],
    )
    pretrained = dict(type='Pretrained', checkpoint=str(place.target / 'evil.pth'))
    model = dict(type='mssl_plugins.SimCLR', backbone=VIT)
    hook = 'default_hooks = dict(knn=dict(type="mssl_plugins.KNNHook", bank={0}, test={0}))\n'
    return rng.choice(
        [
            f'{run}\nmodel = {model!r}',
            f'model = {run}',
            f'model = dict(type="x", backbone={run})',
            f'model = {model!r}\ndata_preprocessor = [{run}]',
            f'custom_imports = dict(imports=["evil"])\nmodel = {model!r}',
            f'_base_ = {str(place.target / "evil.py")!r}\nmodel = {model!r}',
            f'model = {dict(model, init_cfg=pretrained)!r}',
            f'model = {dict(model, backbone=dict(VIT, init_cfg=pretrained))!r}',
            f'model = {dict(model, backbone=system)!r}',
            f'model = {dict(model, backbone=dict(type="subprocess.Popen", args=touch))!r}',
            f'model = {model!r}\n{hook.format(dict(dataset=system))}',
            f'model = {model!r}\n{hook.format(dict(dataset=folder))}',
            'model = ' + '(' * 300,
            'model = dict(**' + run + ')',
            f'model = f"{{{run}}}"',
        ]
    )


def checkpoint(rng: random.Random, place: Place) -> Path:
    """A hostile checkpoint file in one of torch's, MMEngine's or safetensors' forms."""
    import torch

    whole = torch.load(place.target / 'good.pth', weights_only=True)
    kind = rng.choice(['pickle', 'pickle', 'text', 'meta'])
    if kind == 'text':
        whole['meta']['cfg'] = hostile_text(rng, place)
    elif kind == 'meta':
        whole['meta']['config'] = hostile_text(rng, place)
        info = whole['message_hub']['runtime_info']
        info['keep_ckpt_ids'] = ['../../canary', f'/../{place.canary}', -1, 7]
        info['best_ckpt'] = info['last_ckpt'] = str(place.canary)
        whole['meta']['experiment_name'] = '../../../outside'
    else:
        evil = payload(rng, place)
        at = rng.choice(['root', 'state_dict', 'meta', 'optimizer', 'runtime_info', 'key'])
        if at == 'root':
            whole = evil
        elif at == 'key':
            whole['more'] = evil
        elif at == 'runtime_info':
            whole['message_hub'][at]['x'] = evil
        else:
            whole[at]['x'] = evil
    name = rng.choice(
        ['evil.pth', 'evil.pth', 'evil.pt', 'evil.pkl', 'evil.safetensors', 'e v.pth']
    )
    path = place.target / name
    form = rng.choice(['zip', 'zip', 'legacy', 'bare'])
    if form == 'bare':
        path.write_bytes(pickle.dumps(whole))
    else:
        torch.save(whole, path, _use_new_zipfile_serialization=form == 'zip')
    if path.name != 'evil.pth' and not (place.target / 'evil.pth').exists():
        shutil.copy(path, place.target / 'evil.pth')
    return path


def attack_checkpoint(rng: random.Random, place: Place) -> List[str]:
    """A command that reads a hostile checkpoint."""
    path, target = str(checkpoint(rng, place)), place.target
    config, data = str(target / 'config.py'), str(target / 'data')
    run = target / 'run'
    if rng.random() < 0.5 and (target / 'evil.pth').exists():
        run.mkdir()
        shutil.copy(path, run / 'epoch_1.pth')
        (run / 'last_checkpoint').write_text(str(run / 'epoch_1.pth'))
    train = ['train', config, '--work-dir', str(run)]
    return rng.choice(
        [
            [*train, '--resume', path],
            [*train, '--resume'],
            [*train, '--from', path, '--overwrite'],
            ['knn', path, '--data', data, '--k', '2'],
            ['knn', path, '--k', '2'],
            ['knn', path, '--config', config, '--data', data, '--k', '2'],
            ['extract', path, str(target / 'out.npz'), '--data', data],
            ['extract', path, str(target / 'out.npz')],
            [
                'evaluate',
                path,
                '--data',
                data,
                '--protocols',
                'knn',
                '--k',
                '2',
                '--work-dir',
                str(run),
            ],
            ['export', path, str(target / 'out'), '--to', rng.choice(['timm', 'mmpretrain', 'hf'])],
            ['visualize', 'attention', config, path, data, '--out', str(target / 'a.png')],
        ]
    )


def attack_store(rng: random.Random, place: Place) -> List[str]:
    """A command that reads a segment store of a stranger."""
    target, store = place.target, place.target / 'store'
    shutil.copytree(place.root / 'store', store)
    shard = next(store.glob('*.zip'))
    with zipfile.ZipFile(shard) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    with zipfile.ZipFile(shard, 'w') as archive:
        for info, content in members:
            if rng.random() < 0.3:
                info.filename = rng.choice(
                    ['../../canary', str(place.canary), '../canary.png', '\\..\\canary', 'a\nb', '']
                )
            if rng.random() < 0.2:
                info.external_attr, content = 0o120777 << 16, str(place.canary).encode()
            if rng.random() < 0.1:
                content = pickle.dumps(payload(rng, place))
            archive.writestr(info, content)
    link = rng.choice(
        [None, '.lock', 'part-000000.zip', 'segments.json', '.segments.json.incomplete']
    )
    if link:
        (store / link).unlink(missing_ok=True)
        (store / link).symlink_to(place.canary)
    elif rng.random() < 0.5:
        index = json.loads((store / 'segments.json').read_text())
        index[rng.choice(['generator', 'options', 'images'])] = rng.choice(
            ['os.system', {'weights': str(place.canary)}, ['../..'], -1]
        )
        (store / 'segments.json').write_text(json.dumps(index))
    make = ['make_segments', str(target / 'data'), str(store), '--generator', 'slic']
    return rng.choice(
        [
            make,
            [*make, '--check'],
            ['train', str(target / 'segments.py'), '--work-dir', str(target / 'run')],
            [
                'visualize',
                'segments',
                str(target / 'data'),
                str(store),
                '--out',
                str(target / 'a.png'),
            ],
        ]
    )


def attack_packed(rng: random.Random, place: Place) -> List[str]:
    """A command that reads packed images of a stranger."""
    import numpy as np

    target = place.target
    evil = np.empty(1, object)
    evil[0] = payload(rng, place)
    arrays = dict(data=np.zeros(9, np.uint8), off=np.arange(4), label=np.arange(3))
    arrays[rng.choice(['data', 'off', 'label', 'classes', 'box'])] = evil
    name = target / 'p_train.npz'
    np.savez(name, **arrays)
    if rng.random() < 0.3:
        with zipfile.ZipFile(name, 'a') as archive:
            archive.writestr('../../canary', b'x')
    shutil.copy(name, target / 'p_val.npz')
    return rng.choice(
        [
            ['knn', str(target / 'good.pth'), '--data', str(target / 'p'), '--k', '2'],
            ['make_segments', str(name), str(target / 'out'), '--generator', 'slic'],
            [
                'visualize',
                'segments',
                str(name),
                str(place.root / 'store'),
                '--out',
                str(target / 'a.png'),
            ],
        ]
    )


def attack_json(rng: random.Random, place: Place) -> List[str]:
    """A command that reads JSON files or lists of a stranger."""
    target, kind = place.target, rng.choice(['coco', 'list', 'metadata'])
    if kind == 'coco':
        size = rng.choice([[8, 8], [10**6, 10**6], [-1, 4], 'x'])
        shape = rng.choice([[[0, 0, 4, 4, 4, 0]], dict(size=size, counts='\x00evil'), 'x', [[]], 3])
        file = target / 'coco.json'
        names = sorted(p.name for p in (target / 'data').rglob('*.png'))
        note = dict(image_id=0, segmentation=shape)
        image = dict(id=0, height=40, width=40, file_name=rng.choice(['../../canary', *names]))
        file.write_text(
            json.dumps(
                rng.choice([dict(images=[image], annotations=[note]), [], {}, dict(images=3)])
            )
        )
        return ['make_segments', str(target / 'data'), str(target / 'out'), '--generator',
                'annotations', '--annotations', str(file)]  # fmt: skip
    if kind == 'list':
        lines = [
            '../../canary',
            str(place.canary),
            '/dev/zero',
            '\0',
            '$(touch x)',
            '/etc/passwd 1',
        ]
        rng.shuffle(lines)
        (target / 'list.txt').write_text('\n'.join(lines))
        return ['evaluate', str(target / 'good.pth'), '--data', str(target / 'data'), '--protocols',
                'linear', '--epochs', '1', '--labels-1', str(target / 'list.txt'), '--work-dir',
                str(target / 'run')]  # fmt: skip
    folder = target / 'stranger'
    folder.mkdir()
    shutil.copy(target / 'good.pth', folder / 'backbone.pth')
    (folder / 'mssl_export.json').write_text(
        json.dumps(
            dict(
                weights='backbone.pth',
                target='../../canary',
                architecture=rng.choice([VIT, dict(type='os.system'), 3, []]),
                images=rng.choice([{}, 3, dict(mean='x')]),
                source=rng.choice([{}, dict(branch=[1], file='../../canary'), 3]),
            )
        )
    )
    return ['export', str(folder), str(target / 'out'), '--to', 'timm']


def attack_names(rng: random.Random, place: Place) -> List[str]:
    """A command on images whose names are a stranger's, and links in a work dir."""
    target, data = place.target, place.target / 'data'
    images = sorted(data.rglob('*.png'))
    for name in NAMES:
        if rng.random() < 0.6:
            shutil.copy(images[0], rng.choice(images).with_name(name))
    run, out = target / 'run', target / 'out'
    run.mkdir()
    for name in ('.lock', 'config.py', '.epoch_1.pth.incomplete', '.last_checkpoint.incomplete'):
        if rng.random() < 0.5:
            (run / name).symlink_to(place.canary)
    photos = ['train', 'photos/simclr', '--data', str(data), '--size', '32', '--epochs', '1']
    return rng.choice(
        [
            ['train', str(target / 'config.py'), '--work-dir', str(run)],
            [*photos, '--batch-size', '4', '--check', '--work-dir', str(run)],
            ['extract', str(target / 'good.pth'), str(target / 'o.npz'), '--data', str(data)],
            ['make_segments', str(data), str(out), '--generator', 'slic'],
            ['make_subset', str(data), str(target / 's.txt'), '--per-class', '2'],
            ['evaluate', str(target / 'good.pth'), '--data', str(data), '--protocols', 'knn',
             '--k',
             '2',
             '--work-dir', str(run)],
        ]
    )  # fmt: skip


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
