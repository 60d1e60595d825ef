"""Checkpoints, and configs inside them, that would run code or reach for other files."""

import pickle
import random
import shutil
from pathlib import Path
from typing import List

from hostile import VIT, Place, payload


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
