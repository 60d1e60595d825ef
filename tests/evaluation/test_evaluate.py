"""One command for every protocol: what it measures, keeps, resumes and refuses."""

import json
import os
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import nn

from helpers.processes import in_two_processes
from mssl_plugins.datasets.labelled import LabelledImages, balanced, labels_of, list_lines
from mssl_plugins.evaluation import store
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.data import EvaluationData
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.protocols import PROTOCOLS, choose
from mssl_plugins.evaluation.runner import Evaluation
from mssl_plugins.models.readout import read_layers

ROOT = Path(__file__).resolve().parents[2]
VIT = dict(
    type='mssl_plugins.ViT',
    img_size=16,
    patch_size=4,
    arch=dict(embed_dims=8, num_layers=5, num_heads=2, feedforward_channels=16),
)
RESNET = dict(type='mmpretrain.ResNet_CIFAR', depth=18, stem_channels=8, base_channels=8)


@pytest.fixture(autouse=True)
def _no_collections(monkeypatch):
    """MMEngine collects garbage at every data set it builds: half a second in
    a process as full as this one."""
    monkeypatch.setattr('gc.collect', lambda *args: 0)


def write_images(folder, classes, each, size=16, seed=0):
    """Noise on a color that tells the class."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(each):
            color = np.eye(3)[label % 3] * 160
            pixels = (color + rng.integers(0, 90, (size, size, 3))).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f'{i:02}.png')


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('labeled')
    write_images(folder / 'train', 'abc', 20)
    write_images(folder / 'val', 'abc', 8, seed=1)
    return folder


def save(path, backbone, config=True, classifier=False):
    """A checkpoint as MMEngine writes it, the config's text inside."""
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    net = MODELS.build(dict(backbone))
    net.init_weights()
    state = {f'backbone.{k}': v for k, v in net.state_dict().items()}
    if classifier:
        state['head.fc.weight'] = torch.zeros(3, 8)
    meta = (
        dict(cfg=f'model = {dict(type="mssl_plugins.SimCLR", backbone=backbone)}\n')
        if config
        else {}
    )
    torch.save(dict(state_dict=state, meta=meta), path)
    return net


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    folder = tmp_path_factory.mktemp('checkpoints')
    save(folder / 'vit.pth', dict(VIT), classifier=True)
    save(folder / 'resnet.pth', dict(RESNET))
    return folder


@pytest.fixture
def evaluate(tmp_path, monkeypatch, capfd):
    """Runs tools/evaluate.py in this process; status, text, rows."""

    def run(*argv, out=True):
        monkeypatch.chdir(tmp_path)
        file = tmp_path / 'out.json'
        file.unlink(missing_ok=True)
        argv = [*map(str, argv), '--work-dir', str(tmp_path / 'work')]
        monkeypatch.setattr(
            sys, 'argv', ['evaluate.py', *argv, *(['--out', str(file)] if out else [])]
        )
        with pytest.raises(SystemExit) as status:
            runpy.run_path(str(ROOT / 'tools/evaluate.py'), run_name='__main__')
        text = capfd.readouterr()
        return (
            status.value.code,
            text.out + text.err,
            json.loads(file.read_text()) if file.is_file() else None,
        )

    return run


FAST = ('--epochs', 3, '--k', 5, 9, '--device', 'cpu')


# ---------------------------------------------------------------- measuring
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
    assert any('avg, lr=0.1' in r['setting'] for r in rows if r['protocol'] == 'dino-linear')
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


def test_augmented_views_are_repeatable(tmp_path, images):
    """Drawn from (view, index): a resumed extraction goes on as it began."""
    data = EvaluationData(str(images), tmp_path, size=12)
    sets = [store._Drawn(data.augmented(), view) for view in (0, 0, 1)]
    first, again, other = ([np.asarray(s[i]['inputs'][0]) for i in range(4)] for s in sets)
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other))


MEMORY = """
import resource
import torch
from mssl_plugins.evaluation.knn import knn_accuracy
queries, keys = torch.randn({queries}, 384), torch.randn(50000, 384)
labels = torch.arange(50000) % 10
knn_accuracy(queries[:8], labels[:8], keys[:600], labels[:600], ks=[200])  # libraries are loaded
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
before = peak()
knn_accuracy(queries, labels[:len(queries)], keys, labels)
print(peak() - before)
"""


def test_knn_needs_less_than_a_gib_above_the_features(run_python):
    """50,000 keys of 384 dimensions; with more queries there are more steps,
    not larger ones (10,000 are measured in docs/evaluation.md)."""
    done = run_python('-c', MEMORY.format(queries=1500))
    assert done.returncode == 0, done.stderr[-1000:]
    assert float(done.stdout.split()[-1]) < 1


# ----------------------------------------------------------------- resuming
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


def test_features_resume_in_parts(tmp_path, images, checkpoints, monkeypatch):
    monkeypatch.setattr(store, 'PART', 16)
    backbone = FrozenBackbone(str(checkpoints / 'vit.pth'))
    data = EvaluationData(str(images), tmp_path, native=16)
    keep = store.FeatureStore(tmp_path / 'f', backbone.model, batch_size=7)
    keep.add('train', data.center('train'), ['cls'])
    names = sorted(p.name for p in (tmp_path / 'f').glob('train-cls-*'))
    assert len(names) == 4  # 60 images: 16, 16, 16, 12
    whole = keep.get('train', 'cls')
    (tmp_path / 'f' / names[1]).unlink()
    calls = []
    real = store.extract_features

    def counted(model, loader, **kwargs):
        calls.append(len(loader['dataset']))
        return real(model, loader, **kwargs)

    monkeypatch.setattr(store, 'extract_features', counted)
    keep.add('train', data.center('train'), ['cls', 'avg'])
    assert sorted(calls) == [12, 16, 16, 16]
    assert torch.equal(keep.get('train', 'cls'), whole)
    assert torch.equal(keep.get('train', 'labels'), data.labels['train'])


def test_other_data_or_weights_are_measured_anew(tmp_path, images, checkpoints):
    def key(**kwargs):
        return EvaluationData(str(images), tmp_path, **{**dict(native=16), **kwargs}).key

    before = key()
    assert before == key()
    assert len({before, key(size=12), key(train_images=30), key(resize=20)}) == 4
    file = images / 'train/a/00.png'
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1000))
    assert key() != before
    keys = {FrozenBackbone(str(checkpoints / f'{n}.pth')).key for n in ('vit', 'resnet')}
    assert len(keys) == 2


# -------------------------------------------------------------- fine-tuning
def test_fine_tuning_runs_and_resumes(evaluate, images, checkpoints):
    """The shipped config through tools/train.py, once for real."""
    argv = (
        checkpoints / 'vit.pth',
        '--data',
        images,
        '--protocols',
        'finetune-10',
        '--finetune-batch',
        2,
        '--epochs',
        1,
        '--device',
        'cpu',
    )
    status, text, rows = evaluate(*argv)
    assert status == 0, text
    assert rows[0]['setting'] == '10% of the labels, 1 epochs, batch 2'
    assert 0 <= rows[0]['value'] <= 100 and rows[0]['seconds'] > 1
    log = next(Path('work').rglob('output.txt')).read_text()
    assert '1 epochs of 3 steps' in log and 'epoch 1/1  loss' in log
    status, text, again = evaluate(*argv)
    assert status == 0 and 'measured before' in text and again == rows


@pytest.mark.parametrize('name', ['vit', 'resnet'])
def test_fine_tuning_configs(tmp_path, images, checkpoints, name):
    backbone = FrozenBackbone(str(checkpoints / f'{name}.pth'))
    data = EvaluationData(str(images), tmp_path, native=backbone.native)
    run = Evaluation(backbone, data, tmp_path, EvaluationOptions(epochs=10, finetune_batch=8))
    for protocol in choose('finetune', backbone.family):
        cfg = run.finetuning(protocol).config()
        assert cfg.model.head.num_classes == cfg.data_preprocessor.num_classes == 3
        assert cfg.train_cfg.max_epochs == 10 and cfg.train_dataloader.batch_size == 8
        assert cfg.auto_scale_lr.enable and cfg.val_evaluator.topk == (1,)
        last = cfg.param_scheduler[-1]
        assert last.get('milestones', [6, 8]) == [6, 8] and last.get('end', 10) == 10
        model = MODELS.build(dict(cfg.model, data_preprocessor=dict(cfg.data_preprocessor)))
        model.init_weights()
        for key, value in model.backbone.state_dict().items():
            if key in backbone.weights:
                assert torch.equal(value, backbone.weights[key]), key
        assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 3)
        train = DATASETS.build(dict(cfg.train_dataloader.dataset))
        share = PROTOCOLS[protocol].labels
        counts = np.bincount(labels_of(train))
        assert counts.tolist() == [max(1, round(20 * share))] * 3
        assert train[0]['inputs'].shape == (3, 16, 16)
        assert len(DATASETS.build(dict(cfg.val_dataloader.dataset))) == 24


# --------------------------------------------------------- other libraries'
def test_checkpoints_of_torchvision_and_timm(tmp_path):
    torchvision = pytest.importorskip('torchvision')
    net = torchvision.models.resnet18(num_classes=7).eval()
    torch.save(net.state_dict(), tmp_path / 'resnet18.pth')
    backbone = FrozenBackbone(str(tmp_path / 'resnet18.pth'))
    x = torch.randn(2, 3, 64, 64)
    body = nn.Sequential(*list(net.children())[:-1])
    backbone.model.backbone.eval()
    with torch.no_grad():
        found = read_layers(backbone.model.backbone, x, ['avg'])['avg']
        torch.testing.assert_close(found, body(x).flatten(1), rtol=1e-4, atol=1e-4)
    timm = pytest.importorskip('timm')
    net = timm.create_model('vit_tiny_patch16_224', img_size=32).eval()
    torch.save(net.state_dict(), tmp_path / 'vit.pth')
    backbone = FrozenBackbone(str(tmp_path / 'vit.pth'))
    assert backbone.family == 'vit' and backbone.native == 32
    x = torch.randn(2, 3, 32, 32)
    backbone.model.backbone.eval()
    with torch.no_grad():
        found = read_layers(backbone.model.backbone, x, ['cls', 'avg'])
        expected = net.forward_features(x)
    torch.testing.assert_close(found['cls'], expected[:, 0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found['avg'], expected[:, 1:].mean(1), rtol=1e-4, atol=1e-4)


# ------------------------------------------------------------------ mistakes
def one_line(text, *words):
    lines = [line for line in text.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1, text
    for word in words:
        assert word in lines[0], lines[0]


def test_wrong_names(evaluate, images, checkpoints):
    vit = checkpoints / 'vit.pth'
    for argv, words in (
        (['--protocols', 'knn,lienar'], ["unknown protocol 'lienar'", "did you mean 'linear'"]),
        (['--protocols', 'multilayer'], ["'multilayer' is for a ResNet", 'holds a ViT']),
        (['--protocols', ','], ['no protocol named']),
        (['--k', 61], ['k = 61 is larger than the bank of 60 training images']),
        (['--protocols', 'finetune-1', '--labels-1', 'absent.txt'], ['no list absent.txt']),
        (['--train-images', 2], ['2 images are less than one a class']),
        (['--epochs', 0], ['epochs must be 1 or more']),
        (['--classes', 'absent.txt'], ['no list of classes']),
    ):
        status, text, rows = evaluate(vit, '--data', images, *argv)
        assert status == 1 and rows is None
        one_line(text, *words)
    status, text, _ = evaluate('absent.pth', '--data', images)
    one_line(text, 'no such checkpoint: absent.pth')
    status, text, _ = evaluate(vit, '--data', 'absent')
    one_line(text, 'absent')
    status, text, _ = evaluate(vit)
    one_line(text, 'give a checkpoint and --data DIR')
    status, text, _ = evaluate('--list', out=False)
    assert status in (0, None) and 'dino-linear' in text


def test_wrong_data(evaluate, checkpoints, tmp_path):
    vit = checkpoints / 'vit.pth'
    flat, fewer, other, half = (tmp_path / n for n in ('flat', 'fewer', 'other', 'half'))
    write_images(flat / 'train' / 'deep', 'ab', 2)
    for image in (flat / 'train').rglob('*.png'):
        image.rename(flat / 'train' / f'{image.parent.name}{image.name}')
    write_images(flat / 'val', 'ab', 2)
    status, text, _ = evaluate(vit, '--data', flat)
    assert status == 1
    one_line(text, 'no label')
    write_images(fewer / 'train', 'abc', 4), write_images(fewer / 'val', 'ab', 2)
    status, text, _ = evaluate(vit, '--data', fewer)
    assert status == 1
    one_line(text, 'the training set has 3 classes, the test set 2', 'in one of them only: c')
    write_images(other / 'train', 'ab', 4), write_images(other / 'val', 'ax', 2)
    status, text, _ = evaluate(vit, '--data', other)
    one_line(text, 'in one of them only: b, x')
    write_images(half / 'train', 'ab', 4)
    status, text, _ = evaluate(vit, '--data', half)
    one_line(text, 'no labeled images (val)', 'sub-folder a class')


def test_labels_that_only_the_test_set_has(tmp_path):
    for split, labels in (('train', [0, 1, 0, 1]), ('val', [0, 2])):
        pack(tmp_path / f'set_{split}.npz', labels)
    with pytest.raises(ValueError, match=r'2 classes, the test set 2: no training image .* 2'):
        EvaluationData(str(tmp_path / 'set'), tmp_path)


def test_wrong_checkpoints(evaluate, images, checkpoints, tmp_path):
    torch.save(dict(state_dict={'head.fc.weight': torch.zeros(2, 3)}), tmp_path / 'none.pth')
    status, text, _ = evaluate(tmp_path / 'none.pth', '--data', images)
    assert status == 1
    one_line(text, 'head.fc.weight', 'no ViT and no ResNet')
    deeper = tmp_path / 'other.py'
    deeper.write_text(f'model = dict(backbone={dict(VIT, arch=dict(VIT["arch"], num_layers=7))})')
    status, text, _ = evaluate(checkpoints / 'vit.pth', '--data', images, '--config', deeper)
    assert status == 1
    one_line(text, 'num_layers 7 instead of 5')
    resnet = tmp_path / 'resnet.py'
    resnet.write_text(f'model = dict(backbone={dict(RESNET)})')
    status, text, _ = evaluate(checkpoints / 'vit.pth', '--data', images, '--config', resnet)
    one_line(text, "backbone is a mmpretrain.ResNet_CIFAR, the weights are a ViT's")
    state = torch.load(checkpoints / 'resnet.pth', weights_only=True)
    state['state_dict'].pop('backbone.layer3.1.conv2.weight')
    torch.save(state, tmp_path / 'hole.pth')
    status, text, _ = evaluate(tmp_path / 'hole.pth', '--data', images)
    assert status == 1
    one_line(text, 'missing: layer3.1.conv2.weight')


def test_random_weights_are_a_floor(evaluate, images, tmp_path):
    config = tmp_path / 'c.py'
    config.write_text(f'model = dict(type="mssl_plugins.SimCLR", backbone={dict(VIT)})')
    status, text, rows = evaluate(
        'random', '--config', config, '--data', images, '--protocols', 'knn', *FAST
    )
    assert status == 0 and len(rows) == 2, text
    status, text, _ = evaluate('random', '--data', images)
    one_line(text, "'random' needs --config")


# ---------------------------------------------------------------- label lists
def pack(path, labels, size=16):
    import cv2

    files = [
        cv2.imencode('.png', np.full((size, size, 3), 20 * i, np.uint8))[1].ravel()
        for i in range(len(labels))
    ]
    np.savez(path, data=np.concatenate(files), off=np.cumsum([0, *map(len, files)]), label=labels)


def test_balanced_draw():
    labels = [0] * 50 + [1] * 30 + [2] * 7
    index = balanced(labels, fraction=0.2)
    counts = np.bincount(np.array(labels)[index])
    assert counts.tolist() == [6, 6, 6] and index == sorted(set(index))
    assert balanced(labels, fraction=0.2) == index != balanced(labels, fraction=0.2, seed=1)
    assert np.bincount(np.array(labels)[balanced(labels, fraction=1.0)]).tolist() == [29, 29, 7]
    assert np.bincount(np.array(labels)[balanced(labels, fraction=0.001)]).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match='class 2 has 7 images, fewer than the 8'):
        balanced(labels, per_class=8)
    for wrong in (dict(), dict(fraction=1.5), dict(per_class=0), dict(fraction=0.1, per_class=1)):
        with pytest.raises(ValueError):
            balanced(labels, **wrong)
    with pytest.raises(ValueError, match='label of every image'):
        balanced([0, -1], per_class=1)


@pytest.fixture
def make_subset(monkeypatch, capfd):
    """Runs tools/make_subset.py in this process; status and text."""

    def run(*argv):
        monkeypatch.setattr(sys, 'argv', ['make_subset.py', *map(str, argv)])
        with pytest.raises(SystemExit) as status:
            runpy.run_path(str(ROOT / 'tools/make_subset.py'), run_name='__main__')
        text = capfd.readouterr()
        return status.value.code, text.out + text.err

    return run


def test_subset_command_and_what_reads_it(images, tmp_path, make_subset):
    ten = tmp_path / 'meta/ten.txt'
    status, text = make_subset(images, ten, '--fraction', 0.1)
    assert status == 0 and '6 of 60 images' in text, text
    lines = ten.read_text().splitlines()
    assert len(lines) == 6 and all(line.split()[1] == line[0] for line in lines)
    make_subset(images, tmp_path / 'again.txt', '--fraction', 0.1)
    make_subset(images, tmp_path / 'other.txt', '--fraction', 0.1, '--seed', 1)
    assert (tmp_path / 'again.txt').read_text() == ten.read_text()
    assert (tmp_path / 'other.txt').read_text() != ten.read_text()
    part = LabelledImages(str(images), 'train', list_file=str(ten), pipeline=[])
    assert sorted(labels_of(part).tolist()) == [0, 0, 1, 1, 2, 2]
    assert list_lines(part, range(6)) == lines
    two = tmp_path / 'two.txt'
    assert make_subset(images, two, '--classes', 2)[0] == 0
    names = two.read_text().split()
    assert len(names) == 2 and set(names) < set('abc')
    part = LabelledImages(str(images), 'train', classes=str(two), pipeline=[])
    assert len(part) == 40 and part.CLASSES == tuple(names)
    status, text = make_subset(images, ten, '--classes', two, '--per-class', 3)
    assert status == 0 and '6 of 40 images' in text
    with pytest.raises(FileNotFoundError, match='no list'):
        LabelledImages(str(images), 'train', list_file='meta/absent.txt')


def test_subset_mistakes(images, tmp_path, make_subset):
    out = tmp_path / 'x.txt'
    for argv, word in (
        ([images, out], 'give --fraction'),
        ([images, out, '--classes', 9], 'has 3 classes'),
        ([tmp_path / 'absent', out, '--fraction', 0.1], 'no labeled images'),
        ([images, out, '--per-class', 21], 'has 20 images'),
        ([images, out, '--classes', tmp_path / 'no.txt', '--per-class', 1], 'no list of classes'),
    ):
        status, text = make_subset(*argv)
        assert status == 1 and word in text and not out.exists(), text


def test_layouts(tmp_path, images):
    """Packed images, Tiny-ImageNet, CIFAR-10, a flat ImageNet val."""
    pack(tmp_path / 'mini_train.npz', [0, 0, 1, 1])
    pack(tmp_path / 'mini_test.npz', [0, 1])
    train = LabelledImages(str(tmp_path / 'mini'), 'train', pipeline=[])
    assert labels_of(train).tolist() == [0, 0, 1, 1]
    assert len(LabelledImages(str(tmp_path / 'mini'), 'val')) == 2
    lines = list_lines(train, [1, 2])
    (tmp_path / 'two.txt').write_text('\n'.join(lines))
    part = LabelledImages(str(tmp_path / 'mini'), 'train', list_file=str(tmp_path / 'two.txt'))
    assert labels_of(part).tolist() == [0, 1]
    for text, word in (
        ('9 0', 'index 9'),
        ('0 1', 'the label 1, the set 0'),
        ('a/b.png 0', 'without files'),
        ('', 'no image'),
    ):
        (tmp_path / 'bad.txt').write_text(text)
        with pytest.raises(ValueError, match=word):
            LabelledImages(str(tmp_path / 'mini'), 'train', list_file=str(tmp_path / 'bad.txt'))
    with pytest.raises(FileNotFoundError, match='name one of them, .*mini'):
        LabelledImages(str(tmp_path), 'train')
    with pytest.raises(ValueError, match='class folders'):
        LabelledImages(str(tmp_path / 'mini'), classes=['a'])
    with pytest.raises(ValueError, match="did you mean 'train'"):
        LabelledImages(str(images), 'trian')

    tiny = tmp_path / 'tiny'
    write_images(tiny / 'raw', ['n1', 'n2'], 3)
    for name in ('n1', 'n2'):
        (tiny / 'train' / name).mkdir(parents=True)
        (tiny / 'raw' / name).rename(tiny / 'train' / name / 'images')
    write_images(tiny / 'val', ['images'], 2)
    (tiny / 'val/val_annotations.txt').write_text(
        '00.png\tn2\t0\t0\t1\t1\n01.png\tn1\t0\t0\t1\t1\n'
    )
    (tiny / 'wnids.txt').write_text('n2\nn1\n')
    train = LabelledImages(str(tiny), 'train', pipeline=[])
    assert labels_of(train).tolist() == [0, 0, 0, 1, 1, 1]
    val = LabelledImages(str(tiny), 'val', pipeline=[])
    assert labels_of(val).tolist() == [1, 0]
    for dataset, split, index in ((train, 'train', [0, 5]), (val, 'val', [0, 1])):
        path = tiny / f'{split}.txt'
        path.write_text('\n'.join(list_lines(dataset, index)))
        part = LabelledImages(str(tiny), split, list_file=f'{split}.txt', pipeline=[])
        assert labels_of(part).tolist() == labels_of(dataset)[index].tolist()
        assert part[0]['img'].shape == (16, 16, 3)

    flat = tmp_path / 'flat'
    write_images(flat / 'train', 'ab', 1)
    write_images(flat / 'deep', 'x', 2)
    (flat / 'deep/x').rename(flat / 'val')
    (flat / 'meta').mkdir()
    (flat / 'meta/val.txt').write_text('00.png 1\n01.png 0\n')
    assert labels_of(LabelledImages(str(flat), 'val')).tolist() == [1, 0]


SMALL = (
    'model.backbone.init_cfg=None',
    'train_dataloader.batch_size=20',
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
)
NARROW = (
    'model.backbone.depth=18',
    'model.backbone.stem_channels=8',
    'model.backbone.base_channels=8',
)


@pytest.mark.parametrize(
    'config, options, said',
    [
        (
            'resnet18_1xb256-linear-moco-steplr-100e_cifar10',
            (*NARROW, 'model.head.in_channels=64', 'train_cfg.max_epochs=1'),
            ['accuracy/top1', '[1][3/3]'],
        ),
        (
            'resnet50_8xb32-multilayer-maskco-steplr-90e_in1k',
            (*NARROW, 'model.head.in_channels=[1152,288,256,288,256]', 'train_cfg.max_epochs=1'),
            ['accuracy/conv1', 'accuracy/conv5', 'loss_conv3'],
        ),
        (
            'vit-s16_knn-mst_in1k',
            (
                'model.backbone.patch_size=112',
                'default_hooks.knn.k=[3,7]',
                'default_hooks.knn.bank.num_workers=0',
                'default_hooks.knn.test.num_workers=0',
            ),
            ['k-NN after 0 iterations', 'knn/top1_k7'],
        ),
    ],
)
def test_protocols_run_through_train_on_a_folder(images, tmp_path, train, config, options, said):
    """``tools/train.py CONFIG --data DIR``, for real."""
    done = train(
        config, '--data', images, '--work-dir', tmp_path / 'run', '--cfg-options', *SMALL, *options
    )
    assert done.status == 0, done.text[-2000:]
    for words in said:
        assert words in done.text, words
