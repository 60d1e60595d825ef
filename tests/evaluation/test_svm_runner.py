"""Linear SVMs on images with several labels each: against loops in float64."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.evaluation import RESNET, VIT, save
from helpers.processes import in_two_processes
from mssl_plugins.datasets.dense_layouts import write_scenes
from mssl_plugins.evaluation import svm
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.protocols import choose
from mssl_plugins.evaluation.svm_runner import SvmEvaluation
from mssl_plugins.evaluation.voc_data import VocData

CLASSES = ('bird', 'boat', 'car')
COSTS = (0.01, 0.3, 5.0)
SHOTS = (1, 2, 4)


def write_voc(folder, images=(40, 30), seed=0, lists=True):
    """A colored square on noise for each class that is there; every 9th is difficult."""
    rng = np.random.default_rng(seed)
    main = folder / 'ImageSets/Main'
    for path in (main, folder / 'JPEGImages'):
        path.mkdir(parents=True)
    for split, count in zip(('trainval', 'test'), images):
        names = [f'{split}{i:03}' for i in range(count)]
        labels = np.where(rng.random((count, 3)) < 0.35, 1, -1)
        for name, row in zip(names, labels):
            pixels = rng.integers(0, 160, (16, 16, 3))
            for c in np.flatnonzero(row == 1):
                y, x = rng.integers(0, 10, 2)
                pixels[y : y + 6, x : x + 6, c] += 90
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f'JPEGImages/{name}.jpg')
        labels.ravel()[::9] = 0
        (main / f'{split}.txt').write_text('\n'.join(names))
        for c, kind in enumerate(CLASSES):
            lines = [f'{name} {label:2d}' for name, label in zip(names, labels[:, c])]
            (main / f'{kind}_{split}.txt').write_text('\n'.join(lines) + '\n')
    return folder


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('svm')
    save(folder / 'vit.pth', VIT)
    save(folder / 'resnet.pth', RESNET)
    write_voc(folder / 'voc')
    return folder


@pytest.fixture
def few(monkeypatch):
    """Fewer costs and shots than the paper's."""
    monkeypatch.setattr(svm, 'COSTS', COSTS)
    monkeypatch.setattr(svm, 'SHOTS', SHOTS)


def run(files, work, names, name='vit', **options):
    backbone = FrozenBackbone(str(files / f'{name}.pth'))
    options = EvaluationOptions(batch_size=16, **options)
    return SvmEvaluation(backbone, VocData(str(files / 'voc')), work, options).run(names)


# ------------------------------------------------------ the reference: loops
def labels_of(folder, split):
    rows = [
        [int(line.split()[1]) for line in open(folder / f'ImageSets/Main/{c}_{split}.txt')]
        for c in CLASSES
    ]
    return np.array(rows).T


def features_of(checkpoint, folder, split):
    """(N, D) class tokens of the network in double precision, of length 1."""
    backbone = FrozenBackbone(str(checkpoint))
    net = backbone.model.backbone.double()
    net.eval()
    net.out_type = 'cls_token'
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in (backbone.mean, backbone.std))
    rows = []
    for name in (folder / f'ImageSets/Main/{split}.txt').read_text().split():
        image = np.array(Image.open(folder / f'JPEGImages/{name}.jpg'))
        x = (torch.from_numpy(image).permute(2, 0, 1).double() - mean) / std
        with torch.no_grad():
            row = net(x[None])[-1][0].numpy()
        rows.append(row / (sum(v * v for v in row) ** 0.5 + 1e-5))
    return np.array(rows)


def svm_by_newton(x, y, cost):
    """|w|^2 / 2 + C * sum(weight * max(0, 1 - y f)^2), its bias among w."""
    z = np.hstack([x, np.ones((len(x), 1))])
    w = np.zeros(z.shape[1])
    for _ in range(60):
        slope, curve = w.copy(), np.eye(len(w))
        for row, sign in zip(z, y):
            gap = 1 - sign * (row @ w)
            if gap > 0:
                weight = 2 * cost * (2 if sign == 1 else 1)
                slope -= weight * gap * sign * row
                curve += weight * np.outer(row, row)
        w = w - np.linalg.solve(curve, slope)
    return lambda q: np.hstack([q, np.ones((len(q), 1))]) @ w


def ranked(scores, positive):
    """(recall, precision) after each image."""
    order, hits, found = sorted(range(len(scores)), key=lambda i: -scores[i]), 0, []
    for n, i in enumerate(order, 1):
        hits += bool(positive[i])
        found.append((hits / sum(positive), hits / n))
    return found


def area_by_loops(scores, positive, monotonic=True):
    curve, total, before = ranked(scores, positive), 0.0, 0.0
    for i, (recall, precision) in enumerate(curve):
        best = max(p for _, p in curve[i:]) if monotonic else precision
        total += (recall - before) * best
        before = recall
    return total


def eleven_by_loops(scores, positive):
    curve = ranked(scores, positive)
    return sum(max(p for r, p in curve if r >= t / 10 - 1e-9) for t in range(11)) / 11


def validation_by_loops(x, y, cost):
    """Three folds with equal fractions of positives, in the order of the images."""
    first = [y[0], -y[0]]
    order = sorted(range(len(y)), key=lambda i: first.index(y[i]))
    fold = {}
    for label in first:
        # the f-th fold gets as many of a label as stand at places f, f + 3, ...
        counts = [sum(y[i] == label for i in order[f::3]) for f in range(3)]
        mine = [i for i in range(len(y)) if y[i] == label]
        for f, count in enumerate(counts):
            fold.update(dict.fromkeys(mine[:count], f))
            mine = mine[count:]
    found = []
    for f in range(3):
        inner = [i for i in fold if fold[i] != f]
        outer = [i for i in fold if fold[i] == f]
        scores = svm_by_newton(x[inner], y[inner], cost)(x[outer])
        found.append(area_by_loops(scores, y[outer] == 1, monotonic=False))
    return sum(found) / 3


def full_by_loops(train, labels, test, truth):
    """(area, eleven, cost) of one class."""
    y = np.array([1 if v == 1 else -1 for v in labels])
    tried = [validation_by_loops(train, y, c) for c in COSTS]
    cost = COSTS[tried.index(max(tried))]
    clear = [i for i, v in enumerate(truth) if v != 0]
    scores = svm_by_newton(train, y, cost)(test[clear])
    positive = truth[clear] == 1
    return area_by_loops(scores, positive), eleven_by_loops(scores, positive), cost


def test_svms_equal_loops_in_one_process_and_two(files, few, tmp_path):
    rows = run(files, tmp_path / 'one', ['voc07-svm'], layers=['cls'])
    voc = files / 'voc'
    train, test = (features_of(files / 'vit.pth', voc, s) for s in ('trainval', 'test'))
    labels, truth = (labels_of(voc, s) for s in ('trainval', 'test'))
    assert set(np.unique(labels)) == {-1, 0, 1}
    expected = [full_by_loops(train, labels[:, c], test, truth[:, c]) for c in range(3)]
    assert [r['metric'] for r in rows] == ['mAP', 'mAP at 11 recalls']
    wanted = [100 * np.mean([e[i] for e in expected]) for i in (0, 1)]
    assert [r['value'] for r in rows] == pytest.approx(wanted, abs=2e-3)
    kept = sorted((tmp_path / 'one/voc07-svm-cls').iterdir())
    assert [json.loads(f.read_text())['cost'] for f in kept] == [e[2] for e in expected]
    assert wanted[0] < 99 and abs(wanted[0] - wanted[1]) > 0.1  # something to tell apart
    assert rows[0]['setting'] == (
        'cls, trainval to test, the best of 3 costs by 3-fold cross-validation'
    )

    def work(where=tmp_path / 'two'):
        return run(files, where, ['voc07-svm'], layers=['cls'])

    for other in in_two_processes(work, tmp_path):
        assert [r['value'] for r in other] == [r['value'] for r in rows]


def test_few_shots_equal_loops_in_one_process_and_two(files, few, tmp_path):
    rows = run(files, tmp_path / 'one', ['voc07-low-shot'], layers=['cls'])
    voc = files / 'voc'
    train, test = (features_of(files / 'vit.pth', voc, s) for s in ('trainval', 'test'))
    labels, truth = (labels_of(voc, s) for s in ('trainval', 'test'))
    assert len(rows) == 2 * len(SHOTS) and {r['metric'] for r in rows} == {'mAP', 'std of mAP'}
    for number, k in enumerate(SHOTS):
        table = np.zeros((5, len(COSTS)))  # mAP of each draw and cost
        for sample in range(5):
            for c in range(3):
                chosen = svm.draw_shots(labels[:, c], k, 3, [0, c, sample, k])
                y = labels[chosen, c]
                assert (y == 1).sum() == k and (y == -1).sum() == 2 * k
                assert len(set(chosen.tolist())) == 3 * k
                clear = truth[:, c] != 0
                for j, cost in enumerate(COSTS):
                    scores = svm_by_newton(train[chosen], y, cost)(test[clear])
                    table[sample, j] += area_by_loops(scores, truth[clear, c] == 1) / 3
        best = table[:, table.mean(0).argmax()]
        found = [r['value'] for r in rows[2 * number : 2 * number + 2]]
        assert found == pytest.approx([100 * best.mean(), 100 * best.std()], abs=2e-3)
        assert f'k={k}, mean of 5 draws' in rows[2 * number]['setting']

    def work(where=tmp_path / 'two'):
        return run(files, where, ['voc07-low-shot'], layers=['cls'])

    for other in in_two_processes(work, tmp_path):
        assert [r['value'] for r in other] == [r['value'] for r in rows]


def test_the_paper_s_numbers():
    assert len(svm.COSTS) == 26 and svm.COSTS[:2] == (1e-7, 1e-6)
    assert max(svm.COSTS) == 100 and svm.COSTS[10:] == tuple(2.0**-e for e in range(4, 20))
    assert svm.SHOTS == (1, 2, 4, 8, 16, 32, 64, 96)


def test_precision_of_ties_and_of_perfect_scores():
    positive = np.array([True, False, True, False])
    assert svm.average_precision(np.array([4.0, 1, 3, 2]), positive) == 1
    assert svm.eleven_point_precision(np.array([4.0, 1, 3, 2]), positive) == 1
    assert svm.average_precision(np.zeros(4), positive) == pytest.approx(0.5 + 0.5 * 2 / 3)
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores, there = rng.random(30), rng.random(30) < 0.3
        assert svm.average_precision(scores, there) == pytest.approx(area_by_loops(scores, there))
        assert svm.eleven_point_precision(scores, there) == pytest.approx(
            eleven_by_loops(scores, there)
        )


def test_layers_of_both_families(files, few, tmp_path):
    rows = run(files, tmp_path / 'resnet', ['voc07-svm'], 'resnet')
    assert [r['setting'].split(',')[0] for r in rows[::2]] == ['avg', 'conv4', 'conv5']
    rows = run(files, tmp_path / 'vit', ['voc07-svm'])
    assert [r['setting'].split(',')[0] for r in rows[::2]] == ['cls', 'avg', 'blocks4']
    rows = run(files, tmp_path / 'resnet', ['voc07-svm'], 'resnet', layers=['conv1'])
    assert rows[0]['setting'].startswith('conv1,')
    with pytest.raises(ValueError, match="unknown layer of this backbone 'conv5'"):
        run(files, tmp_path / 'vit', ['voc07-svm'], layers=['conv5'])


def test_labels_of_annotations(tmp_path):
    """Where no lists of labels are: an object makes its class, difficult ones alone make 0."""
    write_scenes(tmp_path, 'voc', (12, 6))
    hard = tmp_path / 'Annotations/train_00000.xml'
    hard.write_text(
        '<annotation><object><name>square</name><difficult>1</difficult></object>'
        '<object><name>disk</name><difficult>1</difficult></object>'
        '<object><name>disk</name></object></annotation>'
    )
    names = (tmp_path / 'ImageSets/Main/train.txt').read_text().split()
    texts = [(tmp_path / f'Annotations/{n}.xml').read_text() for n in names]
    kinds = sorted({w.split('<')[0] for t in texts for w in t.split('<name>')[1:]})
    enough = [k for k in kinds if 3 <= sum(f'>{k}<' in t for t in texts) <= 9]
    (tmp_path / 'classes.txt').write_text('\n'.join(enough))
    data = VocData(str(tmp_path), classes=str(tmp_path / 'classes.txt'))
    assert data.names == enough and len(enough) > 1
    assert data.splits == dict(train='train', test='val')
    for text, row in zip(texts[1:], data.labels['train'][1:]):
        assert row.tolist() == [1 if f'>{k}<' in text else -1 for k in enough]
    table = dict(zip(data.names, data.labels['train'][0].tolist()))
    assert {k: table[k] for k in ('square', 'disk') if k in table} == {
        k: v for k, v in (('square', 0), ('disk', 1)) if k in table
    }


# ---------------------------------------------------- the command, and mistakes
@pytest.fixture
def evaluate(run_tool):
    """Runs tools/evaluate.py in this process; status and text."""
    return partial(run_tool, 'evaluate')


def test_the_command_goes_on_where_it_was(files, few, tmp_path, evaluate):
    argv = (
        *(files / 'vit.pth', '--data', files / 'voc', '--protocols', 'voc07-svm,voc07-low-shot'),
        *('--layers', 'avg', '--device', 'cpu', '--work-dir', tmp_path / 'work'),
        *('--out', tmp_path / 'rows.json'),
    )
    status, text = evaluate(*argv)
    assert not status, text
    assert 'input 16 px; 40 training and 30 test images of 3 classes' in text
    rows = json.loads((tmp_path / 'rows.json').read_text())
    assert len(rows) == 2 + 2 * len(SHOTS)
    kept = sorted((tmp_path / 'work').rglob('voc07-svm-avg/*.json'))
    features = sorted((tmp_path / 'work').rglob('*.npy'))
    before = {f: f.stat().st_mtime_ns for f in (kept[0], *features)}
    kept[1].unlink()
    next((tmp_path / 'work').rglob('results.json')).unlink()
    status, text = evaluate(*argv)
    again = json.loads((tmp_path / 'rows.json').read_text())
    assert not status and [r['value'] for r in again] == [r['value'] for r in rows]
    assert before == {f: f.stat().st_mtime_ns for f in before}


def test_one_line_for_mistakes(files, tmp_path, evaluate):
    lost, odd, rare, none = (write_voc(tmp_path / n) for n in ('lost', 'odd', 'rare', 'none'))
    (lost / 'JPEGImages/test003.jpg').unlink()
    (odd / 'ImageSets/Main/car_test.txt').write_text('test000 2\n')
    (rare / 'ImageSets/Main/boat_trainval.txt').write_text('trainval000 1\n')
    for file in (none / 'ImageSets/Main').glob('*_*.txt'):
        file.unlink()
    (tmp_path / 'no.txt').write_text('\n')
    for data, more, words in (
        (files / 'voc', ['--classes', tmp_path / 'no.txt'], 'no.txt names no class'),
        (lost, [], '1 of 30 images are missing'),
        (odd, [], "'test000 2' is no image with 1, 0 or -1"),
        (rare, [], "the class 'boat' is in 1 of 40 images of 'trainval'"),
        (none, [], 'Annotations/trainval000.xml, nor lists of labels'),
        (tmp_path / 'nothing', [], 'trainval.txt and test.txt (or train.txt and val.txt)'),
        (files / 'voc', ['--k', '3'], '--k is for k-NN, not for multilabel protocols'),
        (files / 'voc', ['--epochs', '3'], '--epochs is for images with one label each'),
        (files / 'voc', ['--protocols', 'knn', '--layers', 'avg'], '--layers is for voc07-svm'),
        (files / 'voc', ['--protocols', 'voc07-svm,knn'], 'two commands'),
    ):
        status, text = evaluate(
            *(files / 'vit.pth', '--data', data, '--protocols', 'voc07-svm'),
            *('--device', 'cpu', '--work-dir', tmp_path / 'work', *more),
        )
        lines = [line for line in text.splitlines() if line.startswith('error')]
        assert status != 0 and len(lines) == 1 and words in lines[0], text
    assert 'voc07-svm' not in choose('all', 'vit') + choose('frozen', 'resnet')
