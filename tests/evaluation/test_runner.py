"""One run for every protocol: what it measures, keeps and resumes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.evaluation import FAST, VIT, one_line, save
from helpers.processes import in_two_processes
from mssl_plugins.datasets.labelled import LabelledImages, labels_of
from mssl_plugins.evaluation import store
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.protocols import choose
from mssl_plugins.evaluation.runner import Evaluation


def test_every_frozen_protocol_of_a_vit(evaluate, images, checkpoints):
    status, text, rows = evaluate(
        checkpoints / 'vit.pth', '--data', images, '--protocols', 'frozen', *FAST
    )
    assert status == 0, text
    assert all(list(r) == ['protocol', 'setting', 'metric', 'value', 'seconds'] for r in rows)
    by = {}
    for row in rows:
        by.setdefault(row['protocol'], []).append(row)
    assert list(by) == ['knn', 'linear', 'moco-linear', 'mae-linear', 'dino-linear', 'logistic']
    assert [r['setting'] for r in by['knn']] == ['k=5, T=0.07', 'k=9, T=0.07']
    sweep, best = by['linear'][:-1], by['linear'][-1]
    assert len(sweep) == 7 and best['setting'].startswith('best of 7 rates')
    assert best['value'] == max(r['value'] for r in sweep)
    assert 'blocks4' in by['dino-linear'][0]['setting'] and 'cls' in sweep[0]['setting']
    assert all(0 <= r['value'] <= 100 and r['seconds'] >= 0 for r in rows)
    assert by['logistic'][0]['value'] > 60  # three colors
    assert 'student backbone' in text and 'features, train' in text  # a bar
    assert text.count('best of') == 2  # the table


def test_every_frozen_protocol_of_a_resnet(evaluate, images, checkpoints):
    status, text, rows = evaluate(
        checkpoints / 'resnet.pth',
        '--data',
        images,
        '--protocols',
        'multilayer,dino-linear,knn',
        '--views',
        2,
        '--lrs',
        0.01,
        0.1,
        *FAST,
    )
    assert status == 0, text
    layers = [r['setting'] for r in rows if r['protocol'] == 'multilayer']
    assert [s.split(',')[0] for s in layers] == [f'conv{i}' for i in (1, 2, 3, 4, 5)] * 2
    assert all('2 views' in s and 'lr=0.01' in s for s in layers[:5])
    probed = [r['setting'] for r in rows if r['protocol'] == 'dino-linear']
    assert any('avg, lr=0.1' in setting for setting in probed)
    assert any(s.startswith('best of the rates 0.01, 0.1 on the test set') for s in probed)
    files = {p.name for p in Path('work').rglob('*.npy')}
    assert {'train-conv1-00000000.npy', 'train.v1-conv5-00000000.npy'} <= files
    assert np.load(next(Path('work').rglob('train-conv1-*.npy'))).dtype == np.float16


def test_values_are_those_of_the_parts(evaluate, images, checkpoints):
    """The table's numbers, computed once more from the network up."""
    from sklearn.linear_model import LogisticRegression

    from mssl_plugins.evaluation.knn import knn_accuracy

    status, _, rows = evaluate(
        checkpoints / 'vit.pth', '--data', images, '--protocols', 'knn,logistic', *FAST
    )
    assert status == 0
    net = save(Path('again.pth'), dict(VIT))
    net.eval()
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
    )
    found = {}
    for split in ('train', 'val'):
        data = LabelledImages(str(images), split, pipeline=[])
        x = torch.stack([(torch.from_numpy(s['img']).permute(2, 0, 1) - mean) / std for s in data])
        with torch.no_grad():
            found[split] = net(x)[-1], torch.from_numpy(labels_of(data))
    top1 = knn_accuracy(*found['val'], *found['train'], ks=[5, 9], temperature=0.07)
    assert [r['value'] for r in rows[:2]] == [
        pytest.approx(100 * top1[k], abs=1e-3) for k in (5, 9)
    ]
    x, y = found['train']
    scale = [x.mean(0), x.std(0, unbiased=False)]
    model = LogisticRegression(max_iter=1000).fit(((x - scale[0]) / scale[1]).numpy(), y.numpy())
    test = ((found['val'][0] - scale[0]) / scale[1]).numpy()
    assert rows[2]['value'] == pytest.approx(
        100 * model.score(test, found['val'][1].numpy()), abs=0.5
    )


def test_backbone_is_bit_equal_afterwards(tmp_path, images, checkpoints):
    for name in ('vit', 'resnet'):
        backbone = FrozenBackbone(str(checkpoints / f'{name}.pth'))
        before = {k: v.clone() for k, v in backbone.model.backbone.state_dict().items()}
        data = EvaluationData(str(images), tmp_path, native=backbone.native)
        run = Evaluation(
            backbone, data, tmp_path / name, EvaluationOptions(epochs=2, views=1, ks=[3])
        )
        run.run(choose('knn,mae-linear' + ',multilayer' * (name == 'resnet'), backbone.family))
        after = backbone.model.backbone.state_dict()
        assert after.keys() == before.keys()
        for key, value in after.items():  # BatchNorm statistics among them
            assert torch.equal(value, before[key]), key


def test_two_processes_give_one_processes_numbers(images, checkpoints, tmp_path):
    backbone = FrozenBackbone(str(checkpoints / 'vit.pth'))

    def work(folder=tmp_path / 'two'):
        data = EvaluationData(str(images), tmp_path, native=16)
        run = Evaluation(backbone, data, folder, EvaluationOptions(epochs=2, ks=[5]))
        rows = run.run(['knn', 'linear'])
        return [(r['setting'], r['value']) for r in rows]

    main, other = in_two_processes(work, tmp_path)
    assert main == work(tmp_path / 'one') and len(main) == 9
    assert other == main[:1]  # k-NN is shared out, the probe is the main process's


def test_goes_on_where_it_was_killed(evaluate, images, checkpoints, monkeypatch):
    argv = (
        checkpoints / 'vit.pth',
        '--data',
        images,
        '--protocols',
        'knn,linear,mae-linear',
        *FAST,
    )

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as m:
        m.setattr(Evaluation, '_run_probe', killed)
        status, _, rows = evaluate(*argv)
    assert status == 130 and rows is None
    kept = json.loads(next(Path('work').rglob('results.json')).read_text())
    assert {r['protocol'] for r in kept} == {'knn'}

    with monkeypatch.context() as m:  # neither features nor k-NN again
        m.setattr(store, 'extract_features', killed)
        m.setattr(Evaluation, '_run_knn', killed)
        status, text, rows = evaluate(*argv)
    assert status == 0 and 'knn: measured before' in text
    assert {r['protocol'] for r in rows} == {'knn', 'linear', 'mae-linear'}
    with monkeypatch.context() as m:
        m.setattr(Evaluation, '_run_probe', killed)
        status, _, again = evaluate(*argv)
    assert status == 0 and again == rows


def test_random_weights_are_a_floor(evaluate, images, tmp_path):
    config = tmp_path / 'c.py'
    config.write_text(f'model = dict(type="mssl_plugins.SimCLR", backbone={dict(VIT)})')
    status, text, rows = evaluate(
        'random', '--config', config, '--data', images, '--protocols', 'knn', *FAST
    )
    assert status == 0 and len(rows) == 2, text
    status, text, _ = evaluate('random', '--data', images)
    one_line(text, "'random' needs --config")
