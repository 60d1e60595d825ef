"""Segment stores, packed images, JSON files, lists, names and links of a stranger."""

import json
import os
import pickle
import random
import shutil
import zipfile
from typing import List

from hostile import VIT, Place, payload

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
