"""Dense protocols: against loops in float64, mmseg's score, and what they refuse."""

import json
import math
from functools import partial

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, init_default_scope
from PIL import Image

from helpers.paths import ROOT
from helpers.processes import in_two_processes
from mssl_plugins.evaluation import dense_linear, dense_protocols, dense_runner
from mssl_plugins.evaluation.backbone import FrozenBackbone
from mssl_plugins.evaluation.dense_data import DenseData, patch_distribution
from mssl_plugins.evaluation.dense_features import grids, input_stride
from mssl_plugins.evaluation.dense_runner import DenseEvaluation
from mssl_plugins.evaluation.options import EvaluationOptions
from mssl_plugins.evaluation.protocols import PROTOCOLS, choose
from mssl_plugins.evaluation.segmentation import confusion, mean_iou, predict_map
from mssl_plugins.models.readout import dense_kinds, read_layers

VIT = dict(
    type='mssl_plugins.ViT',
    img_size=16,
    patch_size=4,
    arch=dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16),
)
RESNET = dict(type='mmpretrain.ResNet', depth=18, stem_channels=8, base_channels=8)
C = 3


def write_set(folder, sizes=((20, 12),) * 6, seed=0, ignored=True):
    """Colored rectangles on noise; 255 and 7 are no classes."""
    rng = np.random.default_rng(seed)
    for split in ('train', 'val'):
        for kind in ('img', 'ann'):
            (folder / kind / split).mkdir(parents=True)
        for i, (width, height) in enumerate(sizes):
            mask = np.zeros((height, width), np.uint8)
            y, x = rng.integers(0, height // 2), rng.integers(0, width // 2)
            mask[y : y + height // 2, x : x + width // 2] = 1 + i % 2
            image = np.eye(3)[mask] * 150 + rng.integers(0, 100, (height, width, 3))
            if ignored:
                mask[:2, :5], mask[-1:, -4:] = 255, 7
            Image.fromarray(image.astype(np.uint8)).save(folder / f'img/{split}/{i}.png')
            Image.fromarray(mask).save(folder / f'ann/{split}/{i}.png')
    return folder


def save(path, backbone):
    init_default_scope('mmpretrain')
    torch.manual_seed(0)
    net = MODELS.build(dict(backbone))
    net.init_weights()
    for p in net.parameters():  # class tokens and biases start at zero
        p.data += 0.1 * torch.randn_like(p)
    state = {f'backbone.{k}': v for k, v in net.state_dict().items()}
    config = f'model = {dict(type="mssl_plugins.SimCLR", backbone=backbone)}\n'
    torch.save(dict(state_dict=state, meta=dict(cfg=config)), path)
    return path


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp('dense'))


@pytest.fixture(scope='module')
def checkpoints(tmp_path_factory):
    where = tmp_path_factory.mktemp('checkpoints')
    return dict(vit=save(where / 'vit.pth', VIT), resnet=save(where / 'resnet.pth', RESNET))


@pytest.fixture
def tool(run_tool):
    """Runs tools/evaluate.py in this process; status and text."""
    return partial(run_tool, 'evaluate')


# ------------------------------------------------------ the reference: loops
def masks_of(folder, split):
    found = []
    for file in sorted((folder / 'ann' / split).iterdir()):
        mask = np.asarray(Image.open(file)).astype(int)
        found.append(np.where(mask < C, mask, -1))
    return found


def distribution_by_loops(mask, h, w):
    counts = np.zeros((h, w, C))
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            if mask[y, x] >= 0:
                counts[
                    math.floor((y + 0.5) * h / mask.shape[0]),
                    math.floor((x + 0.5) * w / mask.shape[1]),
                    mask[y, x],
                ] += 1
    return [[c / c.sum() if c.sum() else c for c in row] for row in counts]


def votes_by_loops(query, keys, values, k, temperature):
    """One patch: its k nearest keys vote with exp(cosine / T), divided by their sum."""

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / math.sqrt(
            sum(x * x for x in a) * sum(y * y for y in b)
        )

    near = sorted(((cosine(query, key), -i) for i, key in enumerate(keys)), reverse=True)[:k]
    votes = [0.0] * C
    total = sum(math.exp(s / temperature) for s, _ in near)
    for s, i in near:
        for c in range(C):
            votes[c] += math.exp(s / temperature) / total * values[-i][c]
    return votes


def upsample_by_loops(scores, height, width):
    """Bilinear, pixel centers, the border repeated; the class of every pixel."""
    h, w = len(scores), len(scores[0])
    out = np.zeros((height, width), int)
    for y in range(height):
        for x in range(width):
            at = [max((y + 0.5) * h / height - 0.5, 0), max((x + 0.5) * w / width - 0.5, 0)]
            (y0, x0), value = map(int, at), np.zeros(C)
            for yy, wy in ((y0, 1 - at[0] + y0), (min(y0 + 1, h - 1), at[0] - y0)):
                for xx, wx in ((x0, 1 - at[1] + x0), (min(x0 + 1, w - 1), at[1] - x0)):
                    value += wy * wx * np.asarray(scores[yy][xx])
            out[y, x] = value.argmax()
    return out


def miou_by_loops(predicted, truth):
    inter, union = [0] * C, [0] * C
    for p, t in zip(predicted, truth):
        for a, b in zip(p.flat, t.flat):
            if b >= 0:
                inter[b] += a == b
                for c in {a, b}:
                    union[c] += 1
    return sum(i / u for i, u in zip(inter, union) if u) / sum(u > 0 for u in union)


def features_of(checkpoint, folder, split, kind, shape):
    """(N, P, D) float64 of the network in double precision, image by image."""
    backbone = FrozenBackbone(str(checkpoint))
    net = backbone.model.backbone.double()
    net.eval()  # mmpretrain's gives None
    net.out_type = 'raw'  # tokens
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in (backbone.mean, backbone.std))
    found = []
    for file in sorted((folder / 'img' / split).iterdir()):
        image = Image.open(file).resize(shape[::-1], Image.Resampling.BICUBIC)
        x = (torch.from_numpy(np.array(image)).permute(2, 0, 1).double() - mean) / std
        with torch.no_grad():
            if kind == 'map4':
                x = net.maxpool(net.relu(net.norm1(net.conv1(x[None]))))
                out = net.layer3(net.layer2(net.layer1(x)))
            else:
                out = net(x[None])[-1]
        found.append(out[0, 1:] if kind == 'patches' else out[0].flatten(1).T)
    return torch.stack(found)


def reference(checkpoint, folder, name, kind, shape, grid, k):
    """mIoU in % from pixels and weights up."""
    train, test = (features_of(checkpoint, folder, s, kind, shape) for s in ('train', 'val'))
    values = [
        v for m in masks_of(folder, 'train') for row in distribution_by_loops(m, *grid) for v in row
    ]
    known = [i for i, v in enumerate(values) if sum(v)]
    keys, values = train.flatten(0, 1)[known].tolist(), [values[i] for i in known]
    model = None
    if name == 'patch-logistic':
        model = logistic_by_newton(torch.tensor(keys).double(), torch.tensor(np.array(values)))
    elif name == 'linear-segmentation':
        model = head_by_hand(train, masks_of(folder, 'train'), grid, epochs=k)
    predicted, truth = [], masks_of(folder, 'val')
    for image, mask in zip(test, truth):
        if model:
            scores = model(image).tolist()
        else:
            t = 0.02 if name == 'hummingbird' else 0.07
            scores = [votes_by_loops(q, keys, values, k, t) for q in image.tolist()]
        rows = [scores[i * grid[1] : (i + 1) * grid[1]] for i in range(grid[0])]
        predicted.append(upsample_by_loops(rows, *mask.shape))
    return 100 * miou_by_loops(predicted, truth)


def logistic_by_newton(x, y):
    """Standardized; sum of cross-entropy and ||W||^2 / 2, by Newton's steps."""
    mean, std = x.mean(0), x.std(0, unbiased=False)
    n, d = x.shape
    z = torch.cat([(x - mean) / std, torch.ones(n, 1).double()], 1)
    penalty = torch.ones(d + 1, C).double()
    penalty[-1] = 0  # not the bias

    def loss(flat):
        w = flat.view(d + 1, C)
        return -(y * (z @ w).log_softmax(1)).sum() + (penalty * w * w).sum() / 2

    w = torch.zeros((d + 1) * C).double()
    for _ in range(30):
        slope = torch.autograd.functional.jacobian(loss, w)
        curve = torch.autograd.functional.hessian(loss, w)
        # a constant on all biases changes nothing: least squares
        w = w - torch.linalg.lstsq(curve + 1e-9 * torch.eye(len(w)), slope[:, None]).solution[:, 0]
    return lambda q: (
        torch.cat([(q - mean) / std, torch.ones(len(q), 1).double()], 1) @ w.view(d + 1, C)
    )


def bilinear_weights(grid, height, width):
    """(H * W, h * w): how much of each patch a pixel takes."""
    rows = np.zeros((height * width, grid[0] * grid[1]))
    for y in range(height):
        for x in range(width):
            at = [max((y + 0.5) * grid[0] / height - 0.5, 0)]
            at.append(max((x + 0.5) * grid[1] / width - 0.5, 0))
            (y0, x0) = map(int, at)
            for yy, wy in ((y0, 1 - at[0] + y0), (min(y0 + 1, grid[0] - 1), at[0] - y0)):
                for xx, wx in ((x0, 1 - at[1] + x0), (min(x0 + 1, grid[1] - 1), at[1] - x0)):
                    rows[y * width + x, yy * grid[1] + xx] += wy * wx
    return rows


def adamw(value, slope, state, rate, step, decay=1e-4):
    """One step in place, betas 0.9 and 0.999."""
    value *= 1 - rate * decay
    state[0] = 0.9 * state[0] + 0.1 * slope
    state[1] = 0.999 * state[1] + 0.001 * slope**2
    first, second = state[0] / (1 - 0.9**step), state[1] / (1 - 0.999**step)
    value -= rate * first / (np.sqrt(second) + 1e-8)


def head_by_hand(train, masks, grid, epochs, seed=0, batch=4):
    """BatchNorm and a linear layer in NumPy, float64, gradients by hand."""
    train, d = train.numpy(), train.shape[2]
    g = torch.Generator().manual_seed(seed)
    w = torch.empty(C, d).normal_(0, 0.01, generator=g).double().numpy()
    b, gamma, beta = np.zeros(C), np.ones(d), np.zeros(d)
    states = [[0.0, 0.0] for _ in range(4)]
    mean, var, steps = np.zeros(d), np.ones(d), epochs * math.ceil(len(train) / batch)
    warm, step = round(steps * 1500 / 40000), 0
    for _ in range(epochs):
        order = torch.randperm(len(train), generator=g).tolist()
        for i in range(0, len(order), batch):
            images = order[i : i + batch]
            x = train[images].reshape(-1, d)
            now, spread = x.mean(0), x.var(0)
            mean, n = 0.9 * mean + 0.1 * now, len(x)
            var = 0.9 * var + 0.1 * spread * n / (n - 1)
            z = (x - now) / np.sqrt(spread + 1e-5)
            logits = ((z * gamma + beta) @ w.T + b).reshape(len(images), -1, C)
            labeled = sum((masks[j] >= 0).sum() for j in images)
            error = []
            for image, j in zip(logits, images):
                large = bilinear_weights(grid, *masks[j].shape)
                p = np.exp(large @ image)
                p /= p.sum(1, keepdims=True)
                for pixel, label in enumerate(masks[j].ravel()):
                    p[pixel] = p[pixel] - np.eye(C)[label] if label >= 0 else 0
                error.append(large.T @ p / labeled)
            error = np.concatenate(error)
            through = error @ w
            slopes = (
                error.T @ (z * gamma + beta),
                error.sum(0),
                (through * z).sum(0),
                through.sum(0),
            )
            # up to 1e-3 in a line, then down to 0
            scale = 1 - (step - warm) / (steps - warm - 1)
            if step < warm:
                scale = 1e-6 + (1 - 1e-6) * step / max(warm - 1, 1)
            step += 1
            for value, slope, state in zip((w, b, gamma, beta), slopes, states):
                adamw(value, slope, state, 1e-3 * scale, step)
    return lambda q: ((q.numpy() - mean) / np.sqrt(var + 1e-5) * gamma + beta) @ w.T + b


def evaluation(checkpoint, folder, work, **options):
    backbone = FrozenBackbone(str(checkpoint))
    data = DenseData(str(folder), input_stride(backbone.model.backbone), ignore=[7])
    return DenseEvaluation(backbone, data, work, EvaluationOptions(batch_size=2, **options))


NAMES = ['patch-knn', 'patch-logistic', 'hummingbird', 'linear-segmentation']


def test_a_vit_equals_loops_in_one_process_and_two(checkpoints, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(dense_runner, 'PART', 4)  # two files, shared out each by itself
    monkeypatch.setattr(dense_linear, 'BATCH', 4)  # of 6 images 4 and 2
    kinds = dict(zip(NAMES, ((1, 5), (0,), (30,), (40,))))
    expected = [
        reference(checkpoints['vit'], folder, n, 'patches', (12, 20), (3, 5), k)
        for n, numbers in kinds.items()
        for k in numbers
    ]

    def work(where=tmp_path / 'two'):
        return evaluation(checkpoints['vit'], folder, where, ks=[1, 5], epochs=40).run(NAMES)

    one = work(tmp_path / 'one')
    assert [r['value'] for r in one] == pytest.approx(expected, abs=2e-3)
    assert len({r['value'] for r in one}) > 2 and max(expected) < 100  # something to tell apart
    for rows in in_two_processes(work, tmp_path):
        assert [r['value'] for r in rows] == [r['value'] for r in one]
    assert {r['metric'] for r in one} == {'mIoU'}
    hows = [f'{h}, memory 90' for h in ('k=1, T=0.07', 'k=5, T=0.07', 'C=1', 'k=30, T=0.02')]
    assert [r['setting'] for r in one] == [
        f'patches, {how}, input 20 x 12, masks 20 x 12'
        for how in (*hows, '80 iterations of 4 images')
    ]


def test_length_and_learning_rate_of_the_head():
    """DINOv2's 40,000 iterations of 16 images, 1,500 of warm-up, linear to 0."""
    assert dense_linear.length(20210) == (16, 40000, 1500)
    assert dense_linear.length(120) == (16, 400, 15) and dense_linear.length(120, 3)[1] == 24
    assert dense_linear.length(5) == (5, 50, 2)
    cfg = Config.fromfile(ROOT / 'configs/_base_/dense/linear.py')
    shipped = (dense_linear.ITERATIONS, dense_linear.WARMUP, dense_linear.BATCH)
    assert shipped == (cfg.iterations, cfg.warmup, cfg.batch_size)
    assert (dense_linear.RATE, dense_linear.DECAY) == (cfg.lr, cfg.weight_decay)
    value = torch.nn.Parameter(torch.zeros(1))
    optimizer = OptimWrapper(torch.optim.SGD([value], lr=1.0))
    schedules = [
        PARAM_SCHEDULERS.build(dict(s, optimizer=optimizer, begin=b, end=e))
        for s, (b, e) in zip(cfg.param_scheduler, ((0, 30), (30, 200)))
    ]
    for step in range(200):
        wanted = dense_linear.factor(step, 200, 30)
        assert optimizer.param_groups[0]['lr'] == pytest.approx(wanted, abs=1e-6)
        optimizer.step()
        for schedule in schedules:
            schedule.step()


def test_a_resnet_equals_loops(checkpoints, tmp_path):
    folder = write_set(tmp_path / 'set', sizes=[(70, 60)] * 4)
    rows = evaluation(checkpoints['resnet'], folder, tmp_path / 'work', ks=[3]).run(['patch-knn'])
    assert [r['setting'].split(',')[0] for r in rows] == ['map4', 'map5']
    expected = [
        reference(checkpoints['resnet'], folder, 'patch-knn', kind, (64, 64), grid, 3)
        for kind, grid in (('map4', (4, 4)), ('map5', (2, 2)))
    ]
    assert [r['value'] for r in rows] == pytest.approx(expected, abs=2e-3)
    assert rows[0]['setting'].endswith('input 64 x 64, masks 70 x 60')


def test_patches_find_themselves():
    """k = 1 on its own bank returns every label."""
    torch.manual_seed(0)
    features, values = torch.randn(5, 7, 6), torch.rand(35, C).softmax(1)
    for temperature in (0.02, 0.07):
        found = list(
            dense_protocols.retrieve(features, features.flatten(0, 1), values, [1], temperature)
        )
        assert len(found) == 5 and torch.equal(torch.cat([f[1] for f in found]), values)


def test_own_bank_in_full(checkpoints, folder, tmp_path):
    """The same on images: every labeled patch of the bank gets its own distribution."""
    run = evaluation(checkpoints['vit'], folder, tmp_path)
    run.run(['patch-knn'])
    kind, grid = next(iter(run.grids.items()))
    features = dense_runner.DenseFeatures(run.store, run.data, kind, grid)
    keys, values = dense_protocols.bank_of(features, 10**6, 0, False)
    found = torch.cat([f[1] for f in dense_protocols.retrieve(keys[None], keys, values, [1], 0.07)])
    assert len(values) and torch.equal(found, values)


def test_miou_is_mmsegs(tmp_path):
    from mmseg.evaluation import IoUMetric

    rng = np.random.default_rng(0)
    classes, counts = 5, torch.zeros(5, 5, dtype=torch.long)
    metric = IoUMetric(iou_metrics=['mIoU'])
    metric.dataset_meta = dict(classes=[str(i) for i in range(classes)])
    for shape in ((9, 13), (20, 8)):
        truth = rng.integers(0, classes - 1, shape)  # the last class is not there
        predicted = torch.from_numpy(
            np.where(rng.random(shape) < 0.5, truth, rng.integers(0, classes - 1, shape))
        )
        truth[:2] = 255
        truth = torch.from_numpy(truth)
        counts += confusion(predicted, truth, classes)
        metric.process(
            {}, [dict(pred_sem_seg=dict(data=predicted[None]), gt_sem_seg=dict(data=truth[None]))]
        )
    assert round(100 * mean_iou(counts), 2) == metric.evaluate(2)['mIoU']
    with pytest.raises(ValueError, match='no pixel'):
        mean_iou(torch.zeros(2, 2))


def test_distribution_and_map_at_any_resolution():
    rng = np.random.default_rng(1)
    for shape, grid in (((13, 17), (4, 5)), ((3, 4), (3, 4)), ((9, 6), (2, 3))):
        mask = rng.integers(-1, C, shape)
        assert np.allclose(patch_distribution(mask, grid, C), distribution_by_loops(mask, *grid))
        scores = torch.from_numpy(rng.random((*grid, C)))
        expected = upsample_by_loops(scores.tolist(), *shape)
        assert np.array_equal(predict_map(scores, *shape), expected)


def test_memory_takes_rare_classes_first():
    """As open-hummingbird-eval: the least of u * sum(f(c)); unlabeled patches never."""
    distribution = torch.zeros(200, C)
    distribution[:, 0] = 1
    distribution[7] = torch.tensor([0.0, 1.0, 0.0])
    distribution[100:] = 0  # no labeled pixel
    hits = dict.fromkeys((True, False), 0)
    for seed in range(40):
        for balanced in hits:
            chosen = dense_protocols.choose_patches([distribution] * 2, 21, seed, balanced)
            assert [len(c) for c in chosen] == [10, 10] and max(map(max, chosen)) < 100
            assert all((c.diff() > 0).all() for c in chosen)
            hits[balanced] += sum(7 in c.tolist() for c in chosen)
    assert hits[True] > 75 and hits[False] < 25  # of 80; f is 1 against 99
    everything = dense_protocols.choose_patches([distribution], 100, 0, True)[0]
    assert torch.equal(everything, torch.arange(100))
    by_hand, u = [], torch.rand(100, generator=torch.Generator().manual_seed(3))
    for i in range(100):
        by_hand.append((float(u[i]) * (1 if i == 7 else 99), i))
    chosen = dense_protocols.choose_patches([distribution], 10, 3, True)[0]
    assert chosen.tolist() == sorted(i for _, i in sorted(by_hand)[:10])


def test_command_resumes_and_mixed_sizes(tool, checkpoints, tmp_path):
    """Images of different sizes become squares; each mask keeps its own resolution."""
    folder = write_set(tmp_path / 'set', sizes=[(20, 12), (12, 20), (31, 17), (16, 16)])
    argv = [
        str(checkpoints['vit']),
        '--data',
        str(folder),
        '--ignore-label',
        '7',
        '--size',
        '16',
        '--protocols',
        ','.join(NAMES),
        '--k',
        '2',
        '--memory',
        '40',
        '--device',
        'cpu',
        '--work-dir',
        str(tmp_path / 'work'),
        '--out',
        str(tmp_path / 'rows.json'),
    ]
    status, text = tool(*argv)
    assert status == 0, text
    rows = json.loads((tmp_path / 'rows.json').read_text())
    assert [r['setting'] for r in rows] == [
        f'patches, {how}, input 16 x 16, masks their own size'
        for how in (
            'k=2, T=0.07, memory 40',
            'C=1, memory 40',
            'k=30, T=0.02, memory 40',
            '50 iterations of 4 images',
        )
    ]
    files = {f: f.stat().st_mtime_ns for f in (tmp_path / 'work').rglob('*.npy')}
    status, text = tool(*argv)
    assert status == 0 and json.loads((tmp_path / 'rows.json').read_text()) == rows
    assert files == {f: f.stat().st_mtime_ns for f in (tmp_path / 'work').rglob('*.npy')}


# ------------------------------------------------------------ wrong input
def test_one_line_for_wrong_masks(tool, checkpoints, folder, tmp_path):
    argv = [
        str(checkpoints['vit']),
        '--protocols',
        'hummingbird',
        '--device',
        'cpu',
        '--work-dir',
        str(tmp_path / 'work'),
    ]
    small = write_set(tmp_path / 'small')
    Image.fromarray(np.zeros((6, 10), np.uint8)).save(small / 'ann/val/2.png')
    beyond = write_set(tmp_path / 'beyond', ignored=False)
    mask = np.zeros((12, 20), np.uint8)
    mask[3, 3] = 9
    Image.fromarray(mask).save(beyond / 'ann/val/1.png')
    colors = write_set(tmp_path / 'colors')
    Image.fromarray(np.zeros((12, 20, 3), np.uint8)).save(colors / 'ann/train/0.png')
    lost = write_set(tmp_path / 'lost')
    (lost / 'ann/train/3.png').unlink()
    for data, more, message in (
        (small, ['--ignore-label', '7'], '2.png is 10 x 6 px, its image 20 x 12 px'),
        (beyond, [], '1.png has the label 9, beyond the 3 classes in the training masks'),
        (colors, ['--ignore-label', '7'], 'no label map'),
        (lost, [], 'no mask'),
        (tmp_path / 'nothing', [], 'DIR/img/train'),
        (folder, ['--ignore-label', '7', '--resize', '40'], '--resize is for images'),
        (folder, ['--ignore-label', '7', '--memory', '6'], 'k = 30 is larger than the bank'),
        (folder, ['--ignore-label', '7', '--protocols', 'knn,hummingbird'], 'two commands'),
    ):
        status, text = tool(*argv, '--data', str(data), *more)
        lines = [line for line in text.splitlines() if line.startswith('error')]
        assert status != 0 and len(lines) == 1 and message in lines[0], text
        assert 'Traceback' not in text


def test_classes_may_be_named(folder, tmp_path):
    (tmp_path / 'classes.txt').write_text('a\nb\nc\nd\n')
    data = DenseData(str(folder), 4, ignore=[7], classes=str(tmp_path / 'classes.txt'))
    assert data.num_classes == 4 and data.kept == [0, 1, 2, 3]
    assert DenseData(str(folder), 4, ignore=[0, 7]).kept == [1, 2]
    mask = DenseData(str(folder), 4, ignore=[0, 7]).mask('test', 0)
    raw = np.asarray(Image.open(folder / 'ann/val/0.png'))
    assert ((mask == 0) == (raw == 1)).all() and set(np.unique(mask)) <= {-1, 0, 1}
    (tmp_path / 'classes.txt').write_text('a\nb\n')
    with pytest.raises(ValueError, match='label 2, beyond the 2 classes named'):
        DenseData(str(folder), 4, ignore=[7], classes=str(tmp_path / 'classes.txt'))


def test_a_backbone_without_a_map():
    net = torch.nn.Sequential(torch.nn.Flatten())
    for function in (
        dense_kinds,
        input_stride,
        lambda n: grids(n, (8, 8)),
        lambda n: read_layers(n, torch.zeros(1, 3, 8, 8), ['patches']),
    ):
        with pytest.raises(ValueError, match='Sequential has none'):
            function(net)
    init_default_scope('mmpretrain')
    with pytest.raises(ValueError, match="'map4' needs a ResNet, got a ViT"):
        read_layers(MODELS.build(dict(VIT)), torch.zeros(1, 3, 16, 16), ['map4'])


def test_groups():
    assert choose('dense', 'resnet') == NAMES and not set(NAMES) & set(choose('all', 'vit'))
    assert [PROTOCOLS[n].kind for n in NAMES] == ['dense'] * 4
